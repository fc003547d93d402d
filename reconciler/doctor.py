"""Whether what a configuration names answers, and what to do where it does not. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.accounting import Accounting
from reconciler.clusters import accountings, clusters
from reconciler.config import Config
from reconciler.errors import ConfigError, ReconcileError
from reconciler.portals import portal_of


@dataclass(frozen=True)
class Finding:
    """One check: of what, whether it is fine, what answered, and otherwise what to do."""

    subject: str
    check: str
    ok: bool
    text: str
    hint: str = ""


def online(config: Config) -> Iterator[Finding]:
    """Ask every portal, cluster and source of usage once."""
    for offering in config.offerings:
        subject = f"offering {offering.name}"
        if not offering.from_file:
            yield _asked(subject, "Waldur", portal_of(offering, config).ping)
    try:
        served = clusters(config) if any(o.uses_slurm for o in config.offerings) else []
    except ConfigError as error:
        yield Finding(str(config.path), "clusters", False, error.message, error.hint)
        served = []
    for cluster in served:
        yield _asked(f"cluster {cluster.label}", "SLURM", cluster.reader.ping)
    for accounting in accountings(config):
        yield from _sources(accounting)


def _sources(accounting: Accounting) -> Iterator[Finding]:
    asked: set[int] = set()
    for offering in accounting.offerings:
        subject = f"offering {offering.name}"
        try:
            source = accounting.source(offering)
        except ConfigError as error:
            yield Finding(subject, "usage", False, error.message, error.hint)
            continue
        if id(source) not in asked:
            asked.add(id(source))
            yield _asked(subject, f"usage from {source.name}", source.ping)


def _asked(subject: str, check: str, ping: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, check, True, ping())
    except ReconcileError as error:
        return Finding(subject, check, False, error.message, error.hint)
