"""A cluster that cannot be read is an error, and never an empty one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import around
from tests.live.conftest import Site
from tests.live.cycle.conftest import refused, settled


def test_slurmdbd_down(world: Site) -> None:
    site, _, slurm = world
    slurm.stop("slurmdbd")
    refused(site, slurm, "slurmdbd is not running")


@pytest.mark.parametrize("table", ["testbed_assoc_table", "user_table", "acct_table", "qos_table"])
def test_a_missing_table_is_an_error_and_no_empty_cluster(world: Site, table: str) -> None:
    """SLURM answers a failed query with exit code 0 and no rows."""
    site, _, slurm = world
    slurm.sql(f"rename table {table} to hidden;")
    try:
        refused(site, slurm, "printed nothing", "missing", "exit code 1", "no QoS", "no row for")
    finally:
        slurm.sql(f"rename table hidden to {table};")
        slurm.restart("slurmdbd")
    settled(site)


def test_munge_down(world: Site) -> None:
    site, _, slurm = world
    slurm.stop("munged")
    refused(site, slurm, "munged is not running")


def test_an_unprivileged_caller_gets_an_error_and_no_filtered_world(world: Site, tmp_path: Path) -> None:
    site, _, slurm = world
    conf = slurm.directory / "etc" / "daemons" / "slurmdbd.conf"
    original = conf.read_text()
    conf.write_text(original + "PrivateData=accounts,users,usage,jobs\n")
    slurm.restart("slurmdbd")
    wrapper = tmp_path / "bin"
    around(wrapper, "sacctmgr", 'exec setpriv --reuid=tbalice --clear-groups "$REAL" "$@"')
    site.document["offerings"][0]["backend_settings"]["slurm_bin_path"] = str(wrapper)
    try:
        refused(site, slurm, "filtered view", "permission denied", "missing")
    finally:
        conf.write_text(original)
        slurm.restart("slurmdbd")
