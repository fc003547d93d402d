"""The portal of an offering, whatever kind it is, and what several portals say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reconciler.config import Config, Offering
from reconciler.providers.file import FilePortal
from reconciler.providers.portal import Portal
from reconciler.providers.waldur.portal import connected
from reconciler.state.facts import Claim


def portal_of(offering: Offering, config: Config) -> Portal:
    """The portal of an offering; nothing is asked yet."""
    if offering.from_file:
        return FilePortal(offering, config.path.parent)
    return connected(offering, config)


def claims_of(
    portals: Mapping[str, Portal], offerings: Sequence[Offering], accounts: Iterable[str]
) -> dict[str, Claim]:
    """Ask every portal, each once, about accounts that look ours and that nobody named."""
    names = sorted(accounts)
    here = {o.waldur_offering_uuid: o for o in offerings}
    rank = {"elsewhere": 0, "terminated": 1, "unknown": 2}
    asked: set[tuple[str, str]] = set()
    found: dict[str, Claim] = {}
    for offering in offerings:
        where = (offering.waldur_api_url, offering.waldur_api_token.get_secret_value())
        # a portal answers for all its offerings, so it is asked once
        if not names or (where in asked and not offering.from_file):
            continue
        asked.add(where)
        for name, claim in portals[offering.name].claims(names, here).items():
            if name not in found or rank[claim.verdict] < rank[found[name].verdict]:
                found[name] = claim
    return found
