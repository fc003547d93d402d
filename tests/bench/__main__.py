"""All benchmarks in one command: ``.venv/bin/python -m tests.bench [ACCOUNTS]`` (as root on Debian)."""

from tests.bench import core, live, usage

if __name__ == "__main__":
    core.main([])
    usage.main()
    live.main()
