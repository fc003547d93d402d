"""The real thing or the emulator: what each can do, decided once.

The emulator is the ``slurm-emulator`` package: its programs keep accounts and limits as sacctmgr does, and run no job.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from reconciler.config import DIRECTORY_KEY
from reconciler.errors import ReadError
from reconciler.providers.base import Feature
from reconciler.providers.runner import CommandRunner, Programs

#: what lies in SLURM's own directory, and what of our environment says which cluster, and who we are there
PROGRAMS = Programs(
    frozenset({"sacctmgr", "sacct", "scancel", "scontrol", "squeue", "sshare", "sreport", "sdiag"}),
    frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"}),
    "slurmdbd may hang or be overloaded",
)
_SIMULATION = Programs(variables=frozenset({"SLURM_EMULATOR_*"}))


@dataclass(frozen=True)
class Dialect:
    """What the programs of SLURM's names can do.

    ``daemons``: there are some to ask (slurmctld, munge), and rights; ``jobs``: there is a queue, and what ran is
    known; ``elsewhere``: ``-M`` reaches another cluster; ``loads``: ``sacctmgr load``; ``parallel``: several at once;
    ``coordinators``: sacctmgr shows them; ``settings``: slurmdbd shows its own; ``versions``: programs tell theirs.
    """

    features: frozenset[Feature] = frozenset(Feature)
    programs: tuple[str, ...] = ("sacctmgr", "sacct", "squeue", "scancel", "scontrol")
    daemons: bool = True
    jobs: bool = True
    elsewhere: bool = True
    loads: bool = True
    parallel: bool = True
    coordinators: bool = True
    settings: bool = True
    versions: bool = True


SLURM = Dialect()
EMULATOR = Dialect(
    features=frozenset({Feature.PERIODIC}),
    programs=("sacctmgr", "sacct", "scancel", "scontrol"),
    daemons=False,
    jobs=False,
    elsewhere=False,
    loads=False,
    parallel=False,
    coordinators=False,
    settings=False,
    versions=False,
)


def of(runner: CommandRunner) -> Dialect:
    """What answers behind a runner, as the configuration says."""
    return EMULATOR if runner.settings.emulator else SLURM


def introduced(runner: CommandRunner) -> CommandRunner:
    """The same runner, which knows SLURM's programs from here on."""
    runner.programs |= PROGRAMS
    if runner.settings.emulator:
        runner.programs |= _SIMULATION
    return runner


def refuse_emulator(runner: CommandRunner) -> None:
    """Stop a production install that would take an emulator for its cluster."""
    if runner.settings.emulator or not emulated(runner):
        return
    raise ReadError(
        "sacctmgr found here is the one of the slurm-emulator package, not SLURM",
        f"Set backend_settings.{DIRECTORY_KEY} to SLURM's own directory; for trying things out set "
        "reconcile.runner.emulator: true.",
    )


def emulated(runner: CommandRunner, program: str = "sacctmgr") -> bool:
    """Whether the local program is the one of the slurm-emulator package, not SLURM's own binary.

    It puts programs of SLURM's names beside its Python, where PATH may find them by accident.
    """
    settings = runner.settings
    if settings.container or settings.ssh_host:
        return False
    found = shutil.which(runner.path(program))
    if not found:
        return False
    try:
        with Path(found).open("rb") as file:
            head = file.read(2000)
    except OSError:
        return False
    return head.startswith(b"#!") and b"emulator" in head
