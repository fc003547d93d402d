"""The cluster of the tests keeps nothing of one test for the next, whatever slurmctld tells slurmdbd late."""

from __future__ import annotations

from tests.live.conftest import Slurm


def test_a_job_that_is_told_late_is_nobodys(slurm: Slurm) -> None:
    def account() -> None:
        slurm.sacctmgr("add", "account", "x")
        slurm.sacctmgr("add", "user", "tbalice", "account=x")
        slurm.knows("x")

    def seen() -> list[str]:
        return slurm.run("sacct", "-aXPn", "-S", "2026-10-01", "-o", "Account").split()

    account()
    late = slurm.submit("x", "tbalice", 1)
    slurm.until("COMPLETED", late)
    slurm.clean()
    account()
    slurm.ran("x", "tbalice", "2026-11-01T00:00:00", "2026-11-01T01:00:00", "cpu=1", id_job=int(late))
    assert "x" not in seen()
    slurm.until("COMPLETED", slurm.submit("x", "tbalice", 1))
    assert "x" in seen(), "what runs from now on is told as ever"
