"""What SLURM calls the clusters that the configuration does not name: learnt once, known while SLURM is down."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from sqlalchemy import Connection, Table, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from reconciler.config import Config, Offering, Runner
from reconciler.errors import ReconcileError
from reconciler.store.database import Store
from reconciler.store.tables import ABSENT, ACCEPTED, ADOPTED, CLUSTERS, READS, REPORTED, RUNS, STRANGERS, USERNAMES

#: what a cluster is called that nobody named and SLURM was never asked about
UNNAMED = "default"
#: what usage of a cluster is called
USAGE = "usage-"
#: what usage of offerings without any cluster is called
NO_CLUSTER = "dwdi"
_MEMORY = (USERNAMES, ABSENT, STRANGERS, REPORTED, READS, ACCEPTED, ADOPTED)


def scope_name(cluster: str) -> str:
    """A cluster, or usage alone, by the label of its plans: ``cluster a``, ``usage of cluster a``."""
    if not cluster.startswith(USAGE):
        return f"cluster {cluster}"
    name = cluster.removeprefix(USAGE)
    return f"usage of cluster {name}" if name != NO_CLUSTER else "usage without a cluster"


def names_of(config: Config, offering: Offering, store: Store) -> tuple[str, ...]:
    """What the cluster of an offering is called, the name that counts first: as configured, or as SLURM told.

    One that is not configured may be known by :data:`UNNAMED` as well, to earlier versions and to who never asked.
    """
    if not offering.kind_of_cluster:
        return (NO_CLUSTER,)
    if offering.cluster_name:
        return (offering.cluster_name,)
    return tuple(dict.fromkeys((learnt(store, config.runner_of(offering)) or UNNAMED, UNNAMED)))


def labels(config: Config, offerings: Iterable[Offering], store: Store) -> set[str]:
    """All names of the clusters of offerings."""
    return {name for offering in offerings for name in names_of(config, offering, store)}


def learnt(store: Store, runner: Runner) -> str:
    """What SLURM called the cluster that is reached so; empty where it was never asked, or nobody can tell."""
    try:
        if not store.exists():
            return ""
        with store.reading() as connection:
            mine = select(CLUSTERS.c.cluster).where(CLUSTERS.c.reached == _reached(runner))
            return str(connection.execute(mine).scalar() or "")
    except ReconcileError:
        return ""


def learn(store: Store, runner: Runner, name: str) -> None:
    """Keep the name; what was kept of the cluster while nobody knew it goes on under it.

    Raises :class:`ReconcileError`.
    """
    if learnt(store, runner) == name:
        return
    with store.writing() as connection:
        store.upsert(connection, CLUSTERS, [{"reached": _reached(runner), "cluster": name}])
        for prefix in ("", USAGE):
            old, new = f"{prefix}{UNNAMED}", f"{prefix}{name}"
            for table in _MEMORY:
                _rename(connection, table, old, new, shared=store.shared)
            connection.execute(update(RUNS).where(RUNS.c.cluster == old).values(cluster=new))


def _rename(connection: Connection, table: Table, old: str, new: str, *, shared: bool) -> None:
    if old == new:
        return
    rows = [{**row._mapping, "cluster": new} for row in connection.execute(select(table).where(table.c.cluster == old))]
    if rows:
        insert = (postgresql if shared else sqlite).insert(table)
        connection.execute(insert.on_conflict_do_nothing(), rows)
        connection.execute(delete(table).where(table.c.cluster == old))


def _reached(runner: Runner) -> str:
    """From which host and which way: another way may lead to another cluster."""
    return f"{socket.gethostname()} {runner.way}".strip()
