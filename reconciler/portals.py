"""The portal of an offering, whatever kind it is."""

from __future__ import annotations

from reconciler.config import Config, Offering
from reconciler.providers.file import FilePortal
from reconciler.providers.portal import Portal
from reconciler.providers.waldur.portal import connected


def portal_of(offering: Offering, config: Config) -> Portal:
    """The portal of an offering; nothing is asked yet."""
    if offering.from_file:
        return FilePortal(offering, config.path.parent)
    return connected(offering, config)
