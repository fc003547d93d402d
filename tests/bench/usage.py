"""Usage: a million records of sacct aggregated, and one call against one per account: ``python -m tests.bench.usage``.

The first part needs nothing: a program prints the records, as sacct would. It prints CPU seconds and peak memory of
reading, and the ratio to calling once per account with the same records, which is what the agents do. The second part
needs root on Debian: a real slurmdbd with the stall that sites see.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from reconciler.config import Component, Runner
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.dialect import introduced
from reconciler.providers.slurm.usage import COLUMNS, SacctSource
from reconciler.providers.usage import Metered
from reconciler.state.facts import Resource
from tests.conftest import Program, offering
from tests.fakes import answer, program
from tests.providers.dwdi import NOVEMBER
from tests.standin.portal import StandIn

RECORDS = 1_000_000
ACCOUNTS, USERS_EACH = 100, 10
COMPONENTS = {
    "cpu": Component(measured_unit="h", unit_factor=Decimal(60)),
    "mem": Component(measured_unit="h", unit_factor=Decimal(61440)),
    "gres/gpu": Component(measured_unit="h", unit_factor=Decimal(60)),
}


def metered(count: int) -> list[Metered]:
    return [Metered(Resource(f"u{n}", f"a{n}", "", "OK", f"a{n}", "p", "c"), COMPONENTS) for n in range(count)]


def records(directory: Path) -> None:
    """The records, whole and by account, and a sacct that prints what -A asks for."""
    files = [(directory / f"a{n}").open("w") for n in range(ACCOUNTS)]
    with (directory / "all").open("w") as whole:
        for n in range(RECORDS):
            account = n % ACCOUNTS
            tres = f"billing=18,cpu={n % 128 + 1},gres/gpu={n % 5},mem={n % 900 + 1}.50G,node=1"
            user = f"u{account * USERS_EACH + n // ACCOUNTS % USERS_EACH}"
            line = f"{n + 1}|a{account}|{user}|{tres}|{n % 9000 + 1}|{1793494800 + n}|{1793500000 + n}|COMPLETED\n"
            whole.write(line)
            files[account].write(line)
    for file in files:
        file.close()
    asked = 'while [ $# -gt 1 ]; do [ "$1" = -A ] && file=$2; shift; done'
    program(directory, "sacct", answer("|".join(COLUMNS)), "file=all", asked, f"exec cat {directory}/$file")


def child(directory: str, way: str) -> None:
    """In a process of its own, so that its CPU and memory are its own."""
    before, began = time.process_time(), time.monotonic()
    total = Decimal(0)
    if way == "one":
        source = SacctSource(introduced(CommandRunner(Runner(slurm_bin_path=directory))), None, "UTC")
        used = source.read(NOVEMBER, metered(ACCOUNTS)).used
        total = sum((Decimal(float(u.total["cpu"])) for u in used.values()), Decimal(0))
    else:
        for one in metered(ACCOUNTS):
            source = SacctSource(introduced(_OfOne(directory, one.resource.backend_id)), None, "UTC")
            total += Decimal(float(source.read(NOVEMBER, [one]).used[one.resource.uuid].total["cpu"]))
    figures = {
        "cpu": time.process_time() - before,
        "seconds": time.monotonic() - began,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "total": round(float(total)),
    }
    print(json.dumps(figures))


class _OfOne(CommandRunner):
    """A runner whose sacct gets ``-A``, as the agents call it."""

    def __init__(self, directory: str, account: str) -> None:
        super().__init__(Runner(slurm_bin_path=directory))
        self.account = account

    def argv(self, program: str, *arguments: str) -> list[str]:
        return super().argv(program, "-A", self.account, *arguments)


def measured(directory: Path, way: str) -> dict[str, float]:
    argv = [sys.executable, "-m", "tests.bench.usage", way, str(directory)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def aggregation() -> None:
    directory = Path(tempfile.mkdtemp(prefix="reconcile-usage-"))
    try:
        records(directory)
        one, each = measured(directory, "one"), measured(directory, "each")
    finally:
        shutil.rmtree(directory)
    assert one["total"] == each["total"]
    print(
        f"{RECORDS:,} records of {ACCOUNTS} accounts: one call {one['cpu']:.1f} s CPU, {one['seconds']:.1f} s, "
        f"{one['mb']:.0f} MB; one call per account {each['cpu']:.1f} s CPU, {each['seconds']:.1f} s"
    )


def whole_cycle() -> None:
    """A report of 100 accounts and 1,000 users on a real slurmdbd: processes, requests, seconds, and sacct's share."""
    from tests.bench.live import fill
    from tests.live.conftest import Slurm, why_not

    if reason := why_not():
        print(f"a report on a real SLURM: not measured, {reason}")
        return
    directory = Path(tempfile.mkdtemp(prefix="reconcile-usage-"))
    portal, slurm = StandIn(directory), Slurm(directory / "slurm", SLURM_TESTBED_QUICKACK="0")
    try:
        month = f"{datetime.now(UTC):%Y-%m}"
        slurm.clean()  # with a job of long ago: silence of a cluster that never ran any is not believed
        fill(portal, ACCOUNTS)
        site = Program(directory, slurm.environment)
        site.document["offerings"] = [offering(portal.url, backend_settings={"cluster_name": "testbed"})]
        site.document["offerings"][0]["backend_components"]["mem"] = {
            "measured_unit": "GB-h", "unit_factor": 61440, "accounting_type": "limit", "label": "RAM"
        }  # fmt: skip
        site.document["reconcile"]["usage_minutes"] = 0
        assert site("apply", "--auto-approve").code == 0
        jobs(slurm, month)
        for title in ("first report", "unchanged report"):
            portal.forget()
            began = time.monotonic()
            assert site("usage", "report", "--auto-approve").code == 0
            writes = len(portal.writes())
            print(f"{title}: {time.monotonic() - began:.1f} s, {len(portal.log())} requests, of them {writes} writes")
        one, each = sacct_calls(slurm, month)
        print(f"sacct: once for all {one:.2f} s, once per account {each:.1f} s for {ACCOUNTS}: {each / one:.0f} times")
    finally:
        portal.stop()
        slurm.purge()
        shutil.rmtree(directory, ignore_errors=True)


def jobs(slurm: object, month: str) -> None:
    """Ten jobs of each user, inserted at once."""
    run, sql = slurm.run, slurm.sql  # type: ignore[attr-defined]
    rows = run("sacctmgr", "-nP", "show", "assoc", "format=Account,User,ID").splitlines()
    values: list[str] = []
    began = int(datetime.fromisoformat(f"{month}-01T00:00:00+00:00").timestamp())
    for account, user, number in (r.split("|") for r in rows):
        if user and user != "root":
            for k in range(10):
                start = began + 100 * len(values) % 40_000
                values.append(
                    f"('{account}', 1, 'j', {number}, {1000 + len(values)}, 0, 0, 1001, 1001, 0, 4294967294, 0, 1, "
                    f"'n', 'main', 1, 3, {start}, {start}, {start}, {start}, {start + 600 + k}, '1=1', "
                    "'1=4,2=4096,4=1,5=4')"
                )
    columns = (
        "account, cpus_req, job_name, id_assoc, id_job, id_resv, id_wckey, id_user, id_group, het_job_id, "
        "het_job_offset, state_reason_prev, nodes_alloc, nodelist, `partition`, priority, state, mod_time, "
        "time_submit, time_eligible, time_start, time_end, tres_req, tres_alloc"
    )
    sql(f"insert into testbed_job_table ({columns}) values {', '.join(values)};")


def sacct_calls(slurm: object, month: str) -> tuple[float, float]:
    run = slurm.run  # type: ignore[attr-defined]
    arguments = ("sacct", "-aXDTP", "-S", f"{month}-01", "-o", ",".join(COLUMNS))
    began = time.monotonic()
    run(*arguments)
    one = time.monotonic() - began
    began = time.monotonic()
    for n in range(ACCOUNTS):
        run(*arguments, "-A", f"a_r{n}")
    return one, time.monotonic() - began


def main() -> None:
    aggregation()
    if os.geteuid() == 0:
        whole_cycle()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        child(sys.argv[2], sys.argv[1])
    else:
        main()
