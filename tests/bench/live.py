"""A whole cycle on a real SLURM, with the stall that sites see: ``python -m tests.bench.live [ACCOUNTS]``.

As root on Debian. Prints processes, requests and seconds of reading, planning and a first apply, and the ratio of that
apply to the same changes made by one sacctmgr process per object, which is measured on a sample and multiplied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from reconciler.config import load
from reconciler.cycle.cluster import Cluster
from reconciler.cycle.scopes import clusters
from reconciler.state.kinds import on_cluster
from tests.conftest import offering
from tests.live.conftest import Slurm
from tests.standin.portal import StandIn, uid

USERS_EACH = 10
SAMPLE = 30


def fill(portal: StandIn, accounts: int) -> None:
    """Resources, ten to a project; ten members per project, half of them shared with the next one."""
    portal.reset()
    resources, users, permissions, projects = [], {}, [], []
    for n in range(accounts):
        resources.append(
            {
                "uuid": uid("r", str(n)),
                "name": f"Resource {n}",
                "slug": f"r{n}",
                "state": "OK",
                "backend_id": f"a_r{n}",
                "project_uuid": uid("p", str(n)),
                "project_name": f"P {n}",
                "project_slug": f"p{n}",
                "customer_uuid": uid("c", str(n // 100)),
                "customer_name": f"C {n // 100}",
                "customer_slug": f"c{n // 100}",
                "limits": {"cpu": n},
                "paused": False,
                "downscaled": False,
                "restrict_member_access": False,
            }
        )
        projects.append({"uuid": uid("p", str(n)), "slug": f"p{n}", "customer_slug": f"c{n // 100}"})
        for k in range(USERS_EACH):
            who = f"u{n * USERS_EACH + k}"
            users[who] = {"uuid": uid("o", who), "user_uuid": uid("u", who), "username": who, "state": "OK"}
            permissions.append({"project_uuid": uid("p", str(n)), "user_uuid": uid("u", who), "expiration_time": None})
    portal.world.update(
        {
            "resources": resources,
            "offering_users": [{"is_restricted": False, **u} for u in users.values()],
            "permissions": permissions,
            "projects": projects,
        }
    )
    portal.push()


def cluster_of(directory: Path, portal: StandIn) -> Cluster:
    path = directory / "config.yaml"
    document = {
        "offerings": [offering(portal.url, backend_settings={"cluster_name": "testbed"})],
        "reconcile": {"state_dir": str(directory / "state")},
    }
    path.write_text(yaml.safe_dump(document))
    return clusters(load(path))[0]


def steady(directory: Path, portal: StandIn, title: str) -> None:
    cluster = cluster_of(directory, portal)
    began = time.monotonic()
    planned = cluster.plan()
    print(
        f"{title}: {cluster.runner.started} processes, {cluster.requests} requests, "
        f"{time.monotonic() - began:.2f} s, {len(planned.plan.changes)} changes"
    )
    assert not planned.plan.changes


def one_by_one(slurm: Slurm) -> tuple[float, float]:
    """Seconds per account and per association when each is a sacctmgr process of its own."""
    slurm.sacctmgr("add", "account", "name=base", "cluster=testbed")
    began = time.monotonic()
    for n in range(SAMPLE):
        slurm.sacctmgr("add", "account", f"name=x{n}", "parent=base", "cluster=testbed", f"GrpTRESMins=cpu={n}")
    account = (time.monotonic() - began) / SAMPLE
    began = time.monotonic()
    for n in range(SAMPLE):
        slurm.sacctmgr("add", "user", f"name=y{n}", f"account=x{n}", "cluster=testbed")
    return account, (time.monotonic() - began) / SAMPLE


def first_apply(directory: Path, portal: StandIn, slurm: Slurm, accounts: int) -> None:
    slurm.clean()
    per_account, per_user = one_by_one(slurm)
    slurm.clean()
    fill(portal, accounts)
    cluster = cluster_of(directory, portal)
    began = time.monotonic()
    seen: list[tuple[str, float]] = []
    planned = cluster.plan(progress=lambda text: seen.append((text.split(": ")[-1], time.monotonic())))
    planned_after = time.monotonic() - began
    ends = [moment for _, moment in seen[1:]] + [time.monotonic()]
    parts = ", ".join(f"{text} {end - start:.2f} s" for (text, start), end in zip(seen, ends, strict=True))
    processes, requests = cluster.runner.started, cluster.requests
    outcome = cluster.apply(planned.plan, planned=planned)
    seconds = time.monotonic() - began - planned_after
    assert not outcome.failures, next(iter(outcome.failures.items()))
    created = sum(on_cluster(c.address) for c in planned.plan.changes)
    told = len(planned.plan.changes) - created
    associations = sum(c.address.kind == "slurm.association" for c in planned.plan.changes)
    slow = (created - associations) * per_account + associations * per_user
    print(
        f"{accounts} accounts x {USERS_EACH} users, first plan: {planned_after:.2f} s, {processes} processes, "
        f"{requests} requests, {created} changes on the cluster, {told} resources of which Waldur is told"
    )
    print(f"  of that: {parts}")
    print(
        f"  first apply, verified: {seconds:.2f} s in {cluster.runner.started - processes} processes and "
        f"{cluster.requests - requests} requests; one process per object: {per_account:.2f} s per account, "
        f"{per_user:.2f} s per association (mean of {SAMPLE}), {slow:.0f} s for all: {slow / seconds:.0f} times faster"
    )


def main() -> None:
    accounts = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if os.geteuid() != 0:
        sys.exit("needs root, to start a SLURM of its own")
    directory = Path(tempfile.mkdtemp(prefix="reconcile-bench-"))
    portal = StandIn(directory)
    slurm = None
    try:
        slurm = Slurm(directory / "slurm", SLURM_TESTBED_QUICKACK="0")
        os.environ.update(slurm.environment)
        version = subprocess.run(["sacctmgr", "-V"], capture_output=True, text=True, check=False).stdout.strip()
        print(f"{version}, with the stall of slurmdbd calls before 24.05")
        for size in dict.fromkeys((100, accounts)):
            first_apply(directory, portal, slurm, size)
            steady(directory, portal, "  with nothing to do")
    finally:
        portal.stop()
        if slurm is not None:
            slurm.purge()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
