"""From a resource to the names of its accounts: customer, project, allocation. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from reconciler.config import BackendSettings, Offering
from reconciler.providers.base import NameRules
from reconciler.state import waldur
from reconciler.state.facts import CREATING, ERRED, TERMINATE, TERMINATED, Facts, Resource
from reconciler.state.model import Address, State
from reconciler.state.names import fold
from reconciler.state.tree import Shape, Tree

# how waldur-slurm-agent made names: what it dropped, and where it cut
_LEGACY_DROPPED = re.compile(r"[^A-Za-z0-9_-]")
_LEGACY_LENGTH = 34


@dataclass(frozen=True)
class Source:
    """One offering of the configuration with what its portal says."""

    offering: Offering
    facts: Facts


def top(settings: BackendSettings, shape: Shape) -> str:
    """The account below which an offering's outermost ones hang; empty where they hang below none."""
    # a default account is where a tree that needs a root has its
    return fold(settings.hierarchy_root if shape.root else settings.parent_account or settings.root_account or "")


@dataclass(frozen=True)
class Standing:
    """What already stands on the cluster: parents by account, and accounts that somebody else owns, with reasons."""

    parents: Mapping[str, str] = field(default_factory=dict)
    owned: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, actual: State, owned: Mapping[str, str]) -> Standing:
        """The accounts of a cluster as read."""
        return cls(Tree(actual).parents, owned)

    def foreign(self, name: str, parent: str) -> str:
        """Why an account that is there cannot be adopted by a resource of the project ``parent``, or nothing."""
        if name in self.owned:
            return f"account {name!r} exists and is not free: {self.owned[name]}"
        here = self.parents.get(name)
        if here is None or not parent or here == parent:
            return ""
        return f"account {name!r} exists below {here!r} and not below {parent!r}: nothing shows that it is this one's"


@dataclass(frozen=True)
class Problem:
    """Why a resource can have no accounts; ``final``: its name is to blame, not the site's configuration."""

    text: str
    final: bool = True


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
        """Its order is not approved yet or its creation failed: nothing is provisioned."""
        if self.resource.order is not None:
            return False
        return not self.resource.backend_id and self.resource.state in (CREATING, ERRED)

    @property
    def leaves(self) -> bool:
        """An order ends it."""
        return self.resource.order is not None and self.resource.order.type == TERMINATE

    @property
    def needs(self) -> frozenset[Address]:
        """Its order, where the provider has yet to approve it."""
        order = self.resource.order
        return frozenset({waldur.order(order.uuid)}) if order is not None else frozenset()

    def adopts(self, standing: Standing) -> bool:
        """Whether its account is there already although the portal does not know its name."""
        return bool(self.source.facts.writable and not self.resource.backend_id and self.allocation in standing.parents)

    def problem(
        self, rules: NameRules, protected: Protected, roots: frozenset[str], standing: Standing
    ) -> Problem | None:
        """Why the resource cannot have accounts of these names, or nothing."""
        if not self.allocation:
            return Problem("it has neither a backend_id nor a slug")
        if not self.resource.backend_id and not self.project:
            return Problem("its project has no slug")
        if not self.resource.backend_id and not self.customer and self.source.offering.customer_level:
            return Problem("its customer has no slug")
        for level, name, _ in self.names:
            if wrong := rules.problem(name):
                return Problem(f"{level} account {name!r}: {wrong}")
            if protected.covers(name):
                return Problem(f"{level} account {name!r} is protected (reconcile.guards.protected)", final=False)
            if name in roots:
                text = f"{level} account {name!r} is an account that customers or projects hang below"
                return Problem(text, final=False)
        foreign = standing.foreign(self.allocation, self.project) if self.adopts(standing) else ""
        return Problem(foreign) if foreign else None


def resolve(sources: Sequence[Source], standing: Standing = Standing()) -> list[Chain]:
    """All resources with their account names, the oldest first: a backend_id wins over a computed name."""
    # names are taken across offerings: they share the cluster
    taken = {fold(r.backend_id) for s in sources for r in s.facts.resources if r.backend_id}
    result = []
    for source in sources:
        for resource in sorted(source.facts.resources, key=lambda r: (r.created or date.min, r.uuid)):
            chain = _chain(source, resource, taken, standing)
            taken.add(chain.allocation)
            result.append(chain)
    return result


def _chain(source: Source, resource: Resource, taken: set[str], standing: Standing) -> Chain:
    settings = source.offering.backend_settings
    customer, project, allocation = (fold(p) for p in settings.prefixes)
    above = fold(project + resource.project_slug) if resource.project_slug else ""
    top = fold(customer + resource.customer_slug) if resource.customer_slug else ""
    name = fold(resource.backend_id)
    if settings.legacy_account_names:
        # what waldur-slurm-agent made and named after uuids stays what it is
        above = _there(standing, (project + resource.project_uuid,)) or above
        top = _there(standing, (customer + resource.customer_uuid,)) or top
        name = name or _there(standing, _legacy_names(allocation, resource))
    if not name and source.facts.name_policy == "project_slug" and resource.project_slug:
        name = _counted(allocation + resource.project_slug, above, taken, standing if source.facts.writable else None)
    elif not name and resource.slug:
        name = allocation + resource.slug
    return Chain(source, resource, fold(name), above, top if source.offering.customer_level else "")


def _there(standing: Standing, names: Iterable[str]) -> str:
    return next((fold(n) for n in names if fold(n) in standing.parents), "")


def _legacy_names(prefix: str, resource: Resource) -> list[str]:
    """Names of waldur-slurm-agent: prefix, five digits of the allocation's uuid, the resource's name, cut."""
    uuids = [u for u in (resource.scope_uuid, resource.uuid) if u]
    return [_LEGACY_DROPPED.sub("", f"{prefix}{u[:5]}_{resource.name}")[:_LEGACY_LENGTH] for u in uuids]


def _counted(base: str, parent: str, taken: set[str], standing: Standing | None) -> str:
    """The first of ``base``, ``base-0``, ``base-1`` … that is free, as the agents count."""
    name, number = base, 0
    while fold(name) in taken or (standing is not None and standing.foreign(fold(name), parent)):
        name, number = f"{base}-{number}", number + 1
    return name


def collisions(chains: Sequence[Chain], unique: int) -> dict[str, str]:
    """Resources (by uuid) with a name that another resource or another level claims too, and why.

    ``unique``: characters in which two names must differ.
    """
    claims: dict[str, dict[tuple[str, str], Chain]] = defaultdict(dict)
    settled: dict[str, set[tuple[str, str]]] = defaultdict(set)  # claims of resources that have their account
    for chain in chains:
        for level, name, uuid in chain.names:
            claims[name[:unique]].setdefault((level, uuid), chain)
            # an ended one that an order brings back comes after those that are there
            if chain.resource.backend_id and chain.resource.state != TERMINATED:
                settled[name[:unique]].add((level, uuid))
    result: dict[str, str] = {}
    for chain in chains:
        shared = next(
            (
                name
                for level, name, uuid in chain.names
                # whoever comes later to a name that one resource has got is refused alone
                if len(claims[name[:unique]]) > 1 and settled[name[:unique]] != {(level, uuid)}
            ),
            None,
        )
        if shared is not None:
            who = sorted(
                f'the {level} of resource "{c.resource.name}" ({c.resource.uuid})'
                for (level, _), c in claims[shared[:unique]].items()
            )
            result[chain.resource.uuid] = f"account name {shared!r} is claimed by {', '.join(who)}"
    return result
