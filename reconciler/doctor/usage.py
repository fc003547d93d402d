"""Whether the sources of usage answer."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.config import Config
from reconciler.cycle.scopes import accountings
from reconciler.errors import ConfigError
from reconciler.providers.finding import Finding, Level, asked


def findings(config: Config) -> Iterator[Finding]:
    """Each source once, however many offerings have it."""
    for accounting in accountings(config):
        seen: set[int] = set()
        sources = accounting.sources()
        for offering in accounting.offerings:
            subject = f"offering {offering.name}"
            try:
                source = sources.of(offering)
            except ConfigError as error:
                yield Finding(subject, "usage", Level.ERROR, error.message, error.hint)
                continue
            if id(source) not in seen:
                seen.add(id(source))
                yield asked(subject, f"usage from {source.name}", source.ping)
