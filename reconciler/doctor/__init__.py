"""Whether what a configuration names is there, and what to do where it is not. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from reconciler.config import Config
from reconciler.cycle.scopes import clusters
from reconciler.doctor import host, portal, usage
from reconciler.errors import ConfigError, ReconcileError
from reconciler.providers.finding import Finding, Level, asked
from reconciler.providers.registry import portal_of

__all__ = ["Finding", "Level", "examine", "online", "worst"]


def examine(config: Config) -> Iterator[Finding]:
    """Everything: this host, every portal, cluster and source of usage."""
    yield from host.findings(config)
    for offering in config.offerings:
        yield from portal.findings(offering, config)
    yield from _clusters(config, thorough=True)
    yield from usage.findings(config)


def online(config: Config) -> Iterator[Finding]:
    """Only whether every portal, cluster and source of usage answers, asked once."""
    for offering in config.offerings:
        if not offering.from_file:
            yield asked(f"offering {offering.name}", "Waldur", portal_of(offering, config).source.ping)
    yield from _clusters(config, thorough=False)
    yield from usage.findings(config)


def worst(findings: list[Finding]) -> int:
    """The exit code: 0 all is well, 1 something does not work, 2 something should be known."""
    levels = {f.level for f in findings}
    return 1 if Level.ERROR in levels else 2 if Level.WARNING in levels else 0


def _clusters(config: Config, *, thorough: bool) -> Iterator[Finding]:
    if not any(o.cluster_backend for o in config.offerings):
        return
    try:
        served = clusters(config)
    except ConfigError as error:
        yield Finding(str(config.path), "clusters", Level.ERROR, error.message, error.hint)
        return
    for one in served:
        with suppress(ReconcileError):  # what does not answer is found below
            one.ask_name()
        if thorough:
            yield from one.cluster.findings(one.label, one.offerings, config)
        else:
            yield asked(f"cluster {one.label}", one.backend.title, one.cluster.ping)
