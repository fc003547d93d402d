"""``python -m reconciler`` is the same as ``reconcile``."""

from reconciler.cli.main import run

if __name__ == "__main__":
    run()
