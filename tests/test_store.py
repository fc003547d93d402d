"""One apply at a time per cluster, and a dead one never blocks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import LockedError, ReconcileError
from reconciler.store import cluster_lock
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from reconciler.store import cluster_lock
with cluster_lock(Path(sys.argv[1]), "c1"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_holder_is_named_and_a_killed_one_is_forgotten(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = rf"another apply is running: process {holder.pid} of "
        with pytest.raises(LockedError, match=said), cluster_lock(tmp_path, "c1"):
            pass
        with cluster_lock(tmp_path, "c2"):
            pass  # another cluster
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with cluster_lock(tmp_path, "c1"):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "locks" / "c1.lock").symlink_to(victim)
    with pytest.raises(ReconcileError, match="cannot be opened"), cluster_lock(tmp_path, "c1"):
        pass
    assert victim.read_text() == "precious"
