"""The start of the tests' own SLURM: tried again elsewhere, and with the daemons' own words where it fails for good."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import CLUSTER, StartError, free_ports, started, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"real SLURM: {why_not()}")


@pytest.fixture
def taken() -> Iterator[int]:
    """The first of four ports on which somebody else listens."""
    first = int(free_ports())
    others = [socket.create_server(("", port)) for port in range(first, first + 4)]
    yield first
    for one in others:
        one.close()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the clusters are made."""
    # short, since the path of a socket may have no more than 107 bytes
    with tempfile.TemporaryDirectory(prefix="rt-") as directory:
        monkeypatch.setattr("tempfile.tempdir", directory)
        yield Path(directory)


def test_a_start_that_fails_says_why_and_leaves_nothing_behind(taken: int, temporary: Path) -> None:
    with pytest.raises(StartError) as failed:
        started(attempts=1, SLURM_TESTBED_PORT_BASE=str(taken))
    text = str(failed.value)
    assert "attempt 1 of 1" in text
    assert "mariadbd did not come up" in text
    assert f"--- mariadbd (port {taken + 3}, not running)" in text
    assert "Address already in use" in text  # the daemon's own words
    assert "--- munged (port none, running)" in text
    assert not list(temporary.iterdir())
    assert str(temporary) not in running()


def test_a_start_that_fails_is_tried_again_on_other_ports(taken: int, temporary: Path) -> None:
    slurm = started(attempts=2, SLURM_TESTBED_PORT_BASE=str(taken))
    try:
        assert slurm.accounts() == {"root"}
        assert slurm.run("squeue", "-h") == ""
        conf = (slurm.directory / "etc" / "slurm.conf").read_text()
        assert f"ClusterName={CLUSTER}" in conf
        assert f"SlurmctldPort={taken}" not in conf
    finally:
        slurm.purge()
        shutil.rmtree(slurm.directory, ignore_errors=True)
    assert str(temporary) not in running()


def running() -> str:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)
