"""Which kind of cluster, portal and usage source a word of the configuration means: the only file that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points

from reconciler.config import Config, Offering
from reconciler.config.backend import GROUP
from reconciler.errors import ConfigError
from reconciler.providers import dwdi
from reconciler.providers.base import Backend
from reconciler.providers.file import FileSource
from reconciler.providers.moab.backend import Moab
from reconciler.providers.portal import Portal
from reconciler.providers.slurm.backend import Slurm
from reconciler.providers.usage import UsageSource
from reconciler.providers.waldur.portal import WaldurPortal, connected
from reconciler.state.facts import Claim

_OWN: Mapping[str, Backend] = {"slurm": Slurm(), "moab": Moab()}


#: how the addresses of accounts look, for help texts
EXAMPLE = _OWN["slurm"].shape.account


@cache
def backend_of(word: str) -> Backend:
    """The kind of cluster that a word means: ours, or another package's. Raises :class:`ConfigError`."""
    if word in _OWN:
        return _OWN[word]
    for entry in entry_points(group=GROUP, name=word):
        try:
            made: Backend = entry.load()()
        except Exception as error:
            raise ConfigError(f"backend {word!r} of {entry.value}: {type(error).__name__}: {error}") from error
        if missing := sorted(n for n in vars(Backend) if not n.startswith("_") and not hasattr(made, n)):
            raise ConfigError(
                f"backend {word!r} of {entry.value} lacks {', '.join(missing)}",
                "providers/plain.py has answers to inherit, docs/backends.md says what they mean.",
            )
        return made
    raise ConfigError(f"no backend {word!r} is installed", f"Packages name theirs by entry points of {GROUP}.")


def load_backends(config: Config) -> None:
    """Have all kinds of clusters of a configuration here, so that their objects are known wherever they are named.

    Raises :class:`ConfigError`.
    """
    for word in {offering.kind_of_cluster for offering in config.offerings} - {""}:
        backend_of(word)


def usage_source(offering: Offering, config: Config) -> UsageSource:
    """Where an offering's usage is accounted, if not by its cluster. Raises :class:`ConfigError`."""
    return dwdi.source(offering, config)


def waldur_portal(offering: Offering, config: Config) -> WaldurPortal:
    """A Waldur with all that it has beside a portal's parts: components of offerings, who may do what."""
    return connected(offering, config)


def portal_of(offering: Offering, config: Config) -> Portal:
    """The portal of an offering; nothing is asked yet."""
    if offering.from_file:
        source = FileSource(offering, config.path.parent)
        return Portal(source, policies=source)
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
        for name, claim in portals[offering.name].source.claims(names, here).items():
            if name not in found or rank[claim.verdict] < rank[found[name].verdict]:
                found[name] = claim
    return found
