"""From a resource to the names of its accounts: customer, project, allocation. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from reconciler.config import Offering
from reconciler.state.facts import CREATING, ERRED, Facts, Resource
from reconciler.state.naming import fold, name_problem

# acct_table's key is name(42): a second account with the same beginning can never be made
_KEY = 42


@dataclass(frozen=True)
class Source:
    """One offering of the configuration with what its portal says."""

    offering: Offering
    facts: Facts


class Protected:
    """Names by glob that are never created, changed or removed."""

    def __init__(self, globs: Iterable[str]) -> None:
        self._globs = tuple(fold(g) for g in globs)

    def covers(self, name: str) -> bool:
        """Whether a folded name is one of them."""
        return any(fnmatchcase(name, glob) for glob in self._globs)


@dataclass(frozen=True)
class Chain:
    """A resource with the names of its accounts; an empty name means that it is not known."""

    source: Source
    resource: Resource
    allocation: str
    project: str
    customer: str

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """Level, account name and the uuid that claims it, innermost first, known names only."""
        root = fold(self.source.offering.backend_settings.hierarchy_root)
        found = (
            ("allocation", self.allocation, self.resource.uuid),
            # two offerings that want one account in two places collide as well
            ("project", self.project, f"{self.resource.project_uuid} below {self.customer or root}"),
            ("customer", self.customer, f"{self.resource.customer_uuid} below {root}"),
        )
        return tuple(entry for entry in found if entry[1])

    @property
    def waits(self) -> bool:
        """Its order is pending or its creation failed: nothing is provisioned yet."""
        return not self.resource.backend_id and self.resource.state in (CREATING, ERRED)

    def problem(self, protected: Protected, roots: frozenset[str]) -> str:
        """Why the resource cannot have accounts of these names, or nothing."""
        settings = self.source.offering.backend_settings
        if not self.allocation:
            return "it has neither a backend_id nor a slug"
        if not self.resource.backend_id and not self.project:
            return "its project has no slug"
        if not self.resource.backend_id and not self.customer and not settings.parent_account:
            return "its customer has no slug"
        for level, name, _ in self.names:
            if wrong := name_problem(name):
                return f"{level} account {name!r}: {wrong}"
            if protected.covers(name):
                return f"{level} account {name!r} is protected (reconcile.guards.protected)"
            if name in roots:
                return f"{level} account {name!r} is an account that customers or projects hang below"
        return ""


def resolve(sources: Sequence[Source]) -> list[Chain]:
    """All resources with their account names, the oldest first: a backend_id wins over a computed name."""
    # names are taken across offerings: they share the cluster
    taken = {fold(r.backend_id) for s in sources for r in s.facts.resources if r.backend_id}
    result = []
    for source in sources:
        for resource in sorted(source.facts.resources, key=lambda r: (r.created or date.min, r.uuid)):
            chain = _chain(source, resource, taken)
            taken.add(chain.allocation)
            result.append(chain)
    return result


def _chain(source: Source, resource: Resource, taken: set[str]) -> Chain:
    settings = source.offering.backend_settings
    customer, project, allocation = settings.prefixes
    name = resource.backend_id
    if not name and source.facts.name_policy == "project_slug" and resource.project_slug:
        name = _counted(allocation + resource.project_slug, taken)
    elif not name and resource.slug:
        name = allocation + resource.slug
    return Chain(
        source,
        resource,
        fold(name),
        fold(project + resource.project_slug) if resource.project_slug else "",
        fold(customer + resource.customer_slug) if resource.customer_slug and not settings.parent_account else "",
    )


def _counted(base: str, taken: set[str]) -> str:
    """The first of ``base``, ``base-0``, ``base-1`` … that is free, as the agents count."""
    name, number = base, 0
    while fold(name) in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def collisions(chains: Sequence[Chain]) -> dict[str, str]:
    """Resources (by uuid) with a name that another resource or another level claims too, and why."""
    claims: dict[str, dict[tuple[str, str], Chain]] = defaultdict(dict)
    for chain in chains:
        for level, name, uuid in chain.names:
            claims[name[:_KEY]].setdefault((level, uuid), chain)
    result: dict[str, str] = {}
    for chain in chains:
        shared = next((name for _, name, _ in chain.names if len(claims[name[:_KEY]]) > 1), None)
        if shared is not None:
            who = sorted(
                f'the {level} of resource "{c.resource.name}" ({c.resource.uuid})'
                for (level, _), c in claims[shared[:_KEY]].items()
            )
            result[chain.resource.uuid] = f"account name {shared!r} is claimed by {', '.join(who)}"
    return result
