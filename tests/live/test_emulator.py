"""The simulated cluster against the real one: the same commands on both, and where they differ, pinned.

A difference that goes away, or a new one, fails here: then the provider's allowances for the emulator can change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulator import Emulator
from tests.live.conftest import CLUSTER, Slurm

ASSOC = "format=Account,User,ParentName,Share,GrpTRESMins,MaxSubmit,QOS"
Answers = list[tuple[int, str]]

# name → commands; the answers that count are those of the `show` commands and the exit codes
SEQUENCES: dict[str, list[tuple[str, ...]]] = {
    "tree": [
        ("add", "account", "name=pa", "parent=root", "description=Proj A", "organization=Cust"),
        ("add", "account", "name=pb,pc", "parent=pa", "description=x", "organization=y"),
        ("add", "account", "name=pb", "parent=pa"),
        ("add", "user", "name=u1,u2", "account=pb,pc"),
        ("modify", "account", "where", "name=pc", "set", "parent=root"),
        ("show", "account", "format=Account,Descr,Org"),
        ("show", "assoc", "where", "account=pa,pb,pc", "format=Account,User,ParentName"),
    ],
    "limits": [
        ("add", "account", "name=pa", "parent=root"),
        ("modify", "account", "where", "name=pa", "set", "GrpTRESMins=cpu=5,node=2", "fairshare=7"),
        ("modify", "account", "where", "name=pa", "set", "GrpTRESMins=cpu=-1,node=3"),
        ("modify", "account", "where", "name=nosuch", "set", "fairshare=7"),
        ("show", "assoc", "where", "account=pa", "format=Account,Share,GrpTRESMins"),
    ],
    "removal": [
        ("add", "account", "name=pa", "parent=root"),
        ("add", "account", "name=pb", "parent=pa"),
        ("add", "user", "name=u1", "account=pb"),
        ("remove", "user", "where", "name=u1", "account=pb"),
        ("remove", "user", "where", "name=u1", "account=pb"),
        ("remove", "account", "where", "name=pa"),
        ("show", "assoc", "where", "account=pa,pb", "format=Account,User"),
        ("show", "account", "format=Account"),
    ],
}
DIFFERENCES: dict[str, tuple[list[tuple[str, ...]], str, str]] = {
    "inherited values are printed although WOPLimits asks for own ones": (
        [
            ("add", "account", "name=pa", "parent=root"),
            ("modify", "account", "where", "name=pa", "set", "MaxSubmitJobs=4"),
            ("add", "user", "name=u1", "account=pa"),
            ("show", "assoc", "WOPLimits", "where", "account=pa", "user=u1", "format=User,MaxSubmit,QOS"),
        ],
        "u1||",
        "u1|4|normal",
    ),
    "memory is printed with another suffix": (
        [
            ("add", "account", "name=pa", "parent=root"),
            ("modify", "account", "where", "name=pa", "set", "GrpTRESMins=mem=7864320"),
            ("show", "assoc", "where", "account=pa", "format=GrpTRESMins"),
        ],
        "mem=7.50T",
        "mem=7680G",
    ),
    "user names are not folded": (
        [
            ("add", "account", "name=pa", "parent=root"),
            ("add", "user", "name=TbDave", "account=pa"),
            ("show", "assoc", "where", "account=pa", "format=User"),
        ],
        "\ntbdave",
        "\nTbDave",
    ),
    "root has no administrator's rights": (
        [("show", "user", "root", "format=User,DefaultAccount,Admin")],
        "root|root|Administrator",
        "root|root|None",
    ),
    "a default account may be removed together with others": (
        [
            ("add", "account", "name=pa,pb", "parent=root"),
            ("add", "user", "name=u1", "account=pa,pb"),
            ("remove", "user", "where", "name=u1", "account=pa,pb"),
            ("show", "assoc", "where", "account=pa", "user=u1", "format=Account,User"),
        ],
        "pa|u1",
        "",
    ),
    "an unknown QoS is accepted": (
        [
            ("add", "account", "name=pa", "parent=root"),
            ("modify", "account", "where", "name=pa", "set", "qos=nosuchqos"),
            ("show", "assoc", "where", "account=pa", "format=QOS"),
        ],
        "normal",
        "nosuchqos",
    ),
}


def real(slurm: Slurm, commands: list[tuple[str, ...]]) -> Answers:
    import os
    import subprocess

    answers = []
    for command in commands:
        done = subprocess.run(
            ["sacctmgr", *_full(command, CLUSTER)],
            env={**os.environ, **slurm.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        answers.append((done.returncode, done.stdout if command[0] == "show" else ""))
    return answers


def simulated(emulator: Emulator, commands: list[tuple[str, ...]]) -> Answers:
    answers = []
    for command in commands:
        done = emulator.run("sacctmgr", *_full(command, emulator.cluster))
        answers.append((done.returncode, done.stdout if command[0] == "show" else ""))
    return answers


def _full(command: tuple[str, ...], cluster: str) -> list[str]:
    if command[0] == "show":
        return ["-nP", *command]
    if "set" in command:
        at = command.index("set")
        return ["-i", *command[:at], f"cluster={cluster}", *command[at:]]
    return ["-i", *command, f"cluster={cluster}"]


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_we_use_works_the_same(slurm: Slurm, tmp_path: Path, name: str) -> None:
    ours, theirs = real(slurm, SEQUENCES[name]), simulated(Emulator(tmp_path), SEQUENCES[name])
    for command, one, other in zip(SEQUENCES[name], ours, theirs, strict=True):
        assert one[0] == other[0], command
        assert sorted(one[1].splitlines()) == sorted(other[1].splitlines()), command


@pytest.mark.parametrize("name", DIFFERENCES)
def test_known_differences(slurm: Slurm, tmp_path: Path, name: str) -> None:
    commands, on_slurm, on_emulator = DIFFERENCES[name]
    assert ("\n" + real(slurm, commands)[-1][1]).rstrip("\n").endswith(on_slurm)
    assert ("\n" + simulated(Emulator(tmp_path), commands)[-1][1]).rstrip("\n").endswith(on_emulator)
