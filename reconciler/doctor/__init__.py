"""Whether what a configuration names is there, and what to do where it is not. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.clusters import clusters
from reconciler.config import Config
from reconciler.doctor import cluster, host, portal, usage
from reconciler.doctor.finding import Finding, Level, asked
from reconciler.errors import ConfigError
from reconciler.portals import portal_of

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
            yield asked(f"offering {offering.name}", "Waldur", portal_of(offering, config).ping)
    yield from _clusters(config, thorough=False)
    yield from usage.findings(config)


def worst(findings: list[Finding]) -> int:
    """The exit code: 0 all is well, 1 something does not work, 2 something should be known."""
    levels = {f.level for f in findings}
    return 1 if Level.ERROR in levels else 2 if Level.WARNING in levels else 0


def _clusters(config: Config, *, thorough: bool) -> Iterator[Finding]:
    if not any(o.uses_slurm for o in config.offerings):
        return
    try:
        served = clusters(config)
    except ConfigError as error:
        yield Finding(str(config.path), "clusters", Level.ERROR, error.message, error.hint)
        return
    for one in served:
        if thorough:
            yield from cluster.findings(one)
        else:
            yield asked(f"cluster {one.label}", "SLURM", one.reader.ping)
