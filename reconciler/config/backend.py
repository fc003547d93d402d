"""Words of the configuration for what is behind an offering: kinds of clusters, and warehouses that tell usage."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from reconciler.config.dwdi import REPORTING_BACKENDS

#: kinds of clusters that other packages bring: entry points of this group, by the word for them
GROUP = "reconcile.backends"
_OWN = ("slurm", "moab")
#: who may tell usage, in words
REPORTED_BY = "slurm, moab, or one of the cscs-dwdi backends"
_UNSERVED = ("custom",)


@cache
def cluster_backends() -> tuple[str, ...]:
    """Kinds of clusters that can be served here."""
    return tuple(dict.fromkeys((*_OWN, *sorted(e.name for e in entry_points(group=GROUP)))))


def backends() -> tuple[str, ...]:
    """All words that may stand for a backend."""
    return tuple(dict.fromkeys((*_OWN, *_UNSERVED, *REPORTING_BACKENDS, *cluster_backends())))
