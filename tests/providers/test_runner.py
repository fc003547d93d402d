"""The one way commands run: prefixes, time limits, nothing through a shell."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reconciler.config import Runner
from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.dialect import emulated, introduced
from reconciler.providers.slurm.read import SlurmReader
from tests.emulator import BIN
from tests.fakes import in_front, program


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory at the front of PATH for stand-ins of commands."""
    monkeypatch.setenv("PATH", in_front(tmp_path))
    return tmp_path


SHOW = 'for a in "$@"; do printf "<%s>" "$a"; done'
NASTY = ("a b", "$(id)", "it's", 'q"q', "x;y", "*", "", "é")


def test_locally_nothing_is_read_as_syntax(path: Path) -> None:
    program(path, "sacctmgr", SHOW)
    assert CommandRunner(Runner()).run("sacctmgr", *NASTY).stdout == "".join(f"<{a}>" for a in NASTY)


def test_in_a_container(path: Path) -> None:
    program(path, "docker", SHOW)
    done = CommandRunner(Runner(container="slurmctld")).run("sacctmgr", "-nP", "show assoc")
    assert done.stdout == "<exec><-i><slurmctld><sacctmgr><-nP><show assoc>"


def test_over_ssh_the_remote_shell_sees_the_same_words(path: Path) -> None:
    # ssh joins its arguments and gives them to a shell over there: so does this one
    program(path, "ssh", 'shift 3; shift; exec sh -c "$*"')
    program(path, "sacctmgr", SHOW)
    done = CommandRunner(Runner(ssh_host="head")).run("sacctmgr", *NASTY)
    assert done.stdout == "".join(f"<{a}>" for a in NASTY)
    program(path, "ssh", SHOW)
    done = CommandRunner(Runner(ssh_host="head")).run("sacctmgr", "-i")
    assert done.stdout == "<-o><BatchMode=yes><head><--><sacctmgr -i>"


def test_with_sudo_and_a_directory_of_its_own(path: Path) -> None:
    program(path, "sudo", SHOW)
    done = introduced(CommandRunner(Runner(sudo=True, slurm_bin_path="/opt/slurm/bin/"))).run("sacctmgr", "-i")
    assert done.stdout == "<-n></opt/slurm/bin/sacctmgr><-i>"


def test_the_configured_directory_wins_over_the_path(path: Path, tmp_path: Path) -> None:
    program(path, "sacctmgr", "echo from PATH")
    other = tmp_path / "other"
    other.mkdir()
    program(other, "sacctmgr", "echo from config")
    assert introduced(CommandRunner(Runner(slurm_bin_path=str(other)))).run("sacctmgr").stdout == "from config\n"


def test_a_hanging_command_ends_with_all_its_children(path: Path, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    program(path, "sacctmgr", f"(sleep 3; touch {mark}) & sleep 100")
    began = time.monotonic()
    with pytest.raises(CommandError, match=r"sacctmgr -i: no answer after 1 s"):
        CommandRunner(Runner(timeout=1)).run("sacctmgr", "-i")
    assert time.monotonic() - began < 30
    time.sleep(3.2)
    assert not mark.exists()


def test_a_missing_command_says_what_to_set(path: Path) -> None:
    with pytest.raises(CommandError, match="nosuch: cannot be started") as error:
        CommandRunner(Runner()).run("nosuch")
    assert "slurm_bin_path" in str(error.value)


def test_output_is_kept_and_foreign_bytes_survive(path: Path) -> None:
    program(path, "sacctmgr", r'printf "out\377"; echo err >&2; exit 3')
    done = CommandRunner(Runner()).run("sacctmgr", "-i", "a b")
    assert (done.code, done.stderr) == (3, "err\n")
    assert done.stdout.encode("utf-8", "surrogateescape") == b"out\xff"
    assert done.command == "sacctmgr -i 'a b'"


def test_the_callers_formats_do_not_reach_the_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%Y")
    monkeypatch.setenv("LC_ALL", "de_DE")
    program(path, "sacctmgr", 'echo "$SLURM_TIME_FORMAT|$LC_ALL"')
    assert CommandRunner(Runner()).run("sacctmgr").stdout == "|C.UTF-8\n"


def test_a_runner_knows_no_product_until_its_cluster_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_CONF", "SLURM_EMULATOR_DATA"):
        monkeypatch.setenv(name, "there")
    program(path, "sacctmgr", 'echo "$SLURM_CONF|$SLURM_EMULATOR_DATA"')
    assert CommandRunner(Runner()).run("sacctmgr").stdout == "|\n"
    assert introduced(CommandRunner(Runner())).run("sacctmgr").stdout == "there|\n"
    simulated = introduced(introduced(CommandRunner(Runner(emulator=True))))
    assert simulated.run("sacctmgr").stdout == "there|there\n"
    elsewhere = introduced(CommandRunner(Runner(slurm_bin_path="/opt/slurm")))
    assert [elsewhere.argv(p)[0] for p in ("sacct", "getent")] == ["/opt/slurm/sacct", "getent"]


def test_who_may_hang_is_the_product_s_to_say(path: Path) -> None:
    program(path, "sacctmgr", "sleep 100")
    with pytest.raises(CommandError, match="no answer after 1 s") as error:
        introduced(CommandRunner(Runner(timeout=1))).run("sacctmgr")
    assert error.value.hint == "slurmdbd may hang or be overloaded; the limit is reconcile.runner.timeout."


def test_an_emulator_is_never_taken_for_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """It installs programs of SLURM's names beside its Python, which PATH may find first."""
    monkeypatch.setenv("PATH", in_front(BIN))
    runner = CommandRunner(Runner())
    assert emulated(runner)
    with pytest.raises(ReadError, match="the slurm-emulator package, not SLURM"):
        SlurmReader(runner, None).read()
    assert runner.started == 0
