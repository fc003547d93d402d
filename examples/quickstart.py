#!/usr/bin/env python3
"""The main job on a simulated cluster: plan, apply, plan again, drift, diagnose, heal.

Needs Python 3.11 with venv and the package index, nothing else: no root, no server. Makes a virtual environment in
``.venv-demo``, installs reconcile with its simulated cluster, and runs the very commands that it prints.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv-demo" / "bin"


def install() -> None:
    """reconcile and the simulated cluster, once."""
    stamp = BIN.parent / "installed"
    if stamp.exists() and stamp.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return
    print("Installing reconcile and a simulated cluster into .venv-demo ...", flush=True)
    venv.create(BIN.parent, with_pip=True)
    subprocess.run([BIN / "pip", "install", "-q", "--disable-pip-version-check", "-e", f"{ROOT}[demo]"], check=True)
    stamp.touch()


def run(title: str, environment: dict[str, str], *argv: str, expected: tuple[int, ...] = (0,)) -> None:
    """Print a command, run it, and stop when it does not end as it should."""
    print(f"\n\033[1m## {title}\033[0m" if sys.stdout.isatty() else f"\n## {title}")
    print(f"$ {shlex.join(argv)}\n", flush=True)
    program = str(BIN / argv[0]) if (BIN / argv[0]).exists() else argv[0]
    code = subprocess.run([program, *argv[1:]], env=environment, check=False).returncode
    if code not in expected:
        sys.exit(f"quickstart: {shlex.join(argv)} ended with {code}, expected {expected}")


def money(directory: str) -> dict[str, str]:
    """The environment with a stand-in of MOAB's accounting manager in a directory of its own."""
    subprocess.run([sys.executable, "-m", "tests.standin.mam.install", f"{directory}/bin"], check=True)
    return {
        **os.environ,
        "PATH": f"{directory}/bin:{os.environ['PATH']}",
        "RECONCILE_EXAMPLE_STATE": directory,
        "RECONCILE_EXAMPLE_BIN": f"{directory}/bin",
        "MAM_LEDGER": f"{directory}/bin/mam",
    }


def seed(example: str, environment: dict[str, str]) -> None:
    """What is on the cluster already: a command of its own in each line, sacctmgr's without the word."""
    file = ROOT / "examples" / example / "cluster.txt"
    for line in file.read_text().splitlines() if file.exists() else ():
        words = shlex.split(line, comments=True)
        if words:
            own = words[0].startswith("mam-")
            directory = environment["RECONCILE_EXAMPLE_BIN"]
            argv = [f"{directory}/{words[0]}", *words[1:]] if own else [f"{directory}/sacctmgr", "-i", *words]
            subprocess.run(argv, env=environment, check=True, capture_output=True)


def emulate(directory: str) -> dict[str, str]:
    """The environment in which the simulated cluster keeps its state in a directory of its own."""
    return {
        **os.environ,
        "RECONCILE_EXAMPLE_STATE": directory,
        "RECONCILE_EXAMPLE_BIN": str(BIN),
        "SLURM_EMULATOR_STATE_FILE": f"{directory}/cluster.json",
        "SLURM_EMULATOR_TIME_FILE": f"{directory}/clock.json",
    }


def main() -> None:
    example = sys.argv[1] if len(sys.argv) > 1 else "quickstart"
    config = f"examples/{example}/config.yaml"
    if not (ROOT / config).exists():
        sys.exit(f"quickstart: no {config}")
    os.chdir(ROOT)
    install()
    directory = tempfile.mkdtemp(prefix="reconcile-demo-")
    environment = money(directory) if example == "moab" else emulate(directory)
    try:
        seed(example, environment)
        reconcile = ("reconcile",)
        run("What would change, and why?", environment, *reconcile, "plan", "-c", config)
        run("Make it so.", environment, *reconcile, "apply", "-c", config, "--auto-approve", expected=(0, 4))
        run("Nothing is left to do.", environment, *reconcile, "plan", "-c", config)
        if example in TOURS:
            TOURS[example](environment, config)
    finally:
        shutil.rmtree(directory)


def tour(environment: dict[str, str], config: str) -> None:
    """Drift and its cure."""
    drift = ("modify", "account", "where", "name=a_climate-model", "set", "GrpTRESMins=cpu=1", "parent=root")
    run("Somebody changes a limit and the parent by hand.", environment, "sacctmgr", "-i", *drift)
    run(
        "bob is removed by hand, too.",
        environment,
        "sacctmgr",
        "-i",
        "remove",
        "user",
        "where",
        "name=bob",
        "account=a_climate-model",
    )
    diagnose = ("reconcile", "diagnose", "a_climate-model", "-c", config)
    run("What is wrong with this account, and what mends it? (exit code 2)", environment, *diagnose, expected=(2,))
    run("Heal it.", environment, "reconcile", "apply", "-c", config, "--auto-approve")
    run("And now?", environment, *diagnose)


def tour_of_money(environment: dict[str, str], config: str) -> None:
    """Money that somebody put in by hand, and its way back."""
    run("Somebody deposits 250 by hand.", environment, "mam-deposit", "-f", "2", "-z", "250")
    run("bob is removed by hand, too.", environment, *["mam-modify-account", "-a", "a_ice", "--del-user", "bob"])
    diagnose = ("reconcile", "diagnose", "a_ice", "-c", config)
    run("What is wrong with this account, and what mends it? (exit code 2)", environment, *diagnose, expected=(2,))
    run("Heal it.", environment, "reconcile", "apply", "-c", config, "--auto-approve")
    run("And now?", environment, *diagnose)


TOURS = {"quickstart": tour, "moab": tour_of_money}


if __name__ == "__main__":
    main()
