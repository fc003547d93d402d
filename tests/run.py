#!/usr/bin/env python3
"""All checks and all tests in one command: ``python3 tests/run.py [pytest arguments]``.

Makes a virtual environment in ``.venv``, installs what the tests need, then runs ruff, mypy, import-linter and
pytest. As root on Debian the real SLURM (slurmctld, slurmdbd, MariaDB, munge, slurmd) is installed and started on
loopback for the live tests. Where that is impossible they are skipped with a loud line at the end; with ``CI=true``
their absence is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"
PACKAGES = ("slurmctld", "slurmdbd", "slurmd", "slurm-client", "mariadb-server", "munge", "iproute2", "postgresql")


def step(title: str, *argv: str | Path, needed: bool = True) -> bool:
    """Run a command with a headline; end the run when a needed one fails."""
    print(f"==> {title}", flush=True)
    began = time.monotonic()
    code = subprocess.run([str(a) for a in argv], cwd=ROOT, check=False).returncode
    print(f"    {'ok' if code == 0 else f'failed ({code})'} after {time.monotonic() - began:.0f} s", flush=True)
    if code != 0 and needed:
        sys.exit(f"tests/run.py: {title} failed")
    return code == 0


def install_python() -> None:
    if not (BIN / "python").exists():
        venv.create(ROOT / ".venv", with_pip=True)
    pip = (BIN / "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]")
    step("installing the Python packages", *pip)


def install_slurm() -> None:
    """SLURM with what it needs, and PostgreSQL, without starting the packages' own services."""
    if os.geteuid() != 0 or not Path("/usr/bin/apt-get").exists():
        return
    missing = [p for p in PACKAGES if subprocess.run(["dpkg", "-s", p], capture_output=True, check=False).returncode]
    if not missing:
        return
    policy = Path("/usr/sbin/policy-rc.d")
    made = not policy.exists()
    if made:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"==> installing {' '.join(missing)}", flush=True)
    try:
        for argv in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *argv], env=environment, check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        print(f"    {error}; the live tests will say so", flush=True)
    finally:
        if made:
            policy.unlink()


def main() -> None:
    began = time.monotonic()
    os.environ["PIP_ROOT_USER_ACTION"] = "ignore"
    install_python()
    install_slurm()
    step("ruff check", BIN / "ruff", "check", ".")
    step("ruff format", BIN / "ruff", "format", "--check", ".")
    step("mypy", BIN / "mypy")
    step("import-linter", BIN / "lint-imports", "--no-cache")
    chosen = sys.argv[1:] or ["-n", "2", "--dist", "loadgroup"]
    step("pytest", BIN / "python", "-m", "pytest", *chosen)
    print(f"All checks passed in {time.monotonic() - began:.0f} s.", flush=True)


if __name__ == "__main__":
    main()
