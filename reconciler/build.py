"""Desired state from what the portal says: pure, ``build(offerings, today)``.

Every resource becomes a chain of accounts (customer, project, allocation) with its members. A resource that
cannot be built is refused by name, its accounts are held as they are, and all others go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase

from reconciler.config import Config, FairshareFrom, Offering
from reconciler.state import kinds
from reconciler.state.facts import CREATING, ERRED, LEAVING_STATES, Facts, OfferingUser, Resource
from reconciler.state.model import (
    UNMANAGED,
    Address,
    AtLeast,
    Desired,
    Note,
    Obj,
    Refused,
    TresExcept,
    Unless,
    Wanted,
)
from reconciler.state.naming import clean_text, fold, name_problem
from reconciler.state.ownership import Level, Scope
from reconciler.state.units import UnitError, decimal, prepaid_months, to_units


@dataclass(frozen=True)
class Source:
    """One offering of the configuration with what its portal says."""

    offering: Offering
    facts: Facts


@dataclass(frozen=True)
class _Chain:
    """A resource with the names of its accounts; an empty name means that it is not known."""

    source: Source
    resource: Resource
    allocation: str
    project: str
    customer: str

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """Level, account name and the uuid that claims it, innermost first, known names only."""
        found = (
            ("allocation", self.allocation, self.resource.uuid),
            ("project", self.project, self.resource.project_uuid),
            ("customer", self.customer, self.resource.customer_uuid),
        )
        return tuple(entry for entry in found if entry[1])


@dataclass
class Built:
    """The desired objects and the scope in which this program may touch anything."""

    desired: Desired
    scope: Scope
    resources: dict[str, tuple[Offering, Resource]] = field(default_factory=dict)  # by allocation account


def resource_address(resource: Resource) -> Address:
    """The address of a portal resource."""
    return Address("waldur.resource", (resource.uuid,))


def build(sources: Sequence[Source], config: Config, today: date) -> Built:
    """The desired state of one cluster from all offerings on it."""
    return _Builder(sources, config, today).built


class _Builder:
    def __init__(self, sources: Sequence[Source], config: Config, today: date) -> None:
        self.config = config
        self.today = today
        self.desired = Desired()
        self.scope = Scope()
        self.built = Built(self.desired, self.scope)
        self._values: dict[object, Mapping[str, Wanted]] = {}
        self._refused_containers: dict[str, str] = {}
        self._protected_names = tuple(fold(p) for p in config.reconcile.guards.protected)
        for source in sources:
            self._scope(source)
        chains = self._without_collisions(self._chains(sources))
        self._qos_objects()
        for chain in chains:
            self._accounts(chain)
        for name, why in self._refused_containers.items():
            if kinds.account(name) not in self.desired.objects:
                self._hold(name, why)
        for source in sources:
            self._members(source, [c for c in chains if c.source is source])

    # ------------------------------------------------------------------ scope and names

    def _scope(self, source: Source) -> None:
        offering, facts = source.offering, source.facts
        settings = offering.backend_settings
        customer, project, allocation = (fold(p) for p in settings.prefixes)
        self.scope.levels.append(
            Level(
                offering.name,
                fold(settings.hierarchy_root),
                (project, allocation) if settings.parent_account else (customer, project, allocation),
            )
        )
        self.scope.known_users |= {fold(u.username) for u in facts.offering_users if u.username}
        self.desired.refused += facts.bad
        for name in facts.held_names:
            self._hold(fold(name), "its resource could not be read from Waldur")

    def _hold(self, name: str, why: str) -> None:
        self.desired.held[kinds.account(name)] = why

    def _refuse(self, chain: _Chain, why: str) -> None:
        resource = chain.resource
        text = f'resource "{resource.name}": {why}'
        self.desired.refused.append(Note(resource_address(resource), text, chain.source.offering.name))
        for level, name, _ in chain.names:
            held = f'resource "{resource.name}" is refused: {why}'
            if level == "allocation":
                self._hold(name, held)
            else:  # others of its project or customer may be fine
                self._refused_containers.setdefault(name, held)

    def _chains(self, sources: Sequence[Source]) -> list[_Chain]:
        result = []
        for source in sources:
            taken = {fold(r.backend_id) for s in sources for r in s.facts.resources if r.backend_id}
            for resource in sorted(source.facts.resources, key=lambda r: (r.created or date.min, r.uuid)):
                if not resource.backend_id and resource.state in (CREATING, ERRED):
                    text = f'resource "{resource.name}" is {resource.state} and has no account yet'
                    self.desired.waiting.append(Note(resource_address(resource), text, source.offering.name))
                    continue
                chain = self._chain(source, resource, taken)
                problem = self._name_problem(chain)
                if problem:
                    self._refuse(chain, problem)
                else:
                    taken.add(chain.allocation)
                    result.append(chain)
        return result

    def _chain(self, source: Source, resource: Resource, taken: set[str]) -> _Chain:
        settings = source.offering.backend_settings
        customer, project, allocation = settings.prefixes
        name = resource.backend_id
        if not name and source.facts.name_policy == "project_slug" and resource.project_slug:
            base = allocation + resource.project_slug
            name = base
            number = 0
            while fold(name) in taken:
                name, number = f"{base}-{number}", number + 1
        elif not name and resource.slug:
            name = allocation + resource.slug
        return _Chain(
            source,
            resource,
            fold(name),
            fold(project + resource.project_slug) if resource.project_slug else "",
            fold(customer + resource.customer_slug) if resource.customer_slug and not settings.parent_account else "",
        )

    def _name_problem(self, chain: _Chain) -> str:
        resource = chain.resource
        if not chain.allocation:
            return "it has neither a backend_id nor a slug"
        if not resource.backend_id and not chain.project:
            return "its project has no slug"
        flat = chain.source.offering.backend_settings.parent_account
        if not resource.backend_id and not chain.customer and not flat:
            return "its customer has no slug"
        for level, name, _ in chain.names:
            if problem := name_problem(name):
                return f"{level} account {name!r}: {problem}"
            if self._protected(name):
                return f"{level} account {name!r} is protected (reconcile.guards.protected)"
            if name == fold(chain.source.offering.backend_settings.hierarchy_root):
                return f"{level} account {name!r} is the account that all customers hang below"
        return ""

    def _protected(self, name: str) -> bool:
        return any(fnmatchcase(name, p) for p in self._protected_names)

    def _without_collisions(self, chains: list[_Chain]) -> list[_Chain]:
        claims: dict[str, dict[tuple[str, str], _Chain]] = defaultdict(dict)
        for chain in chains:
            for level, name, uuid in chain.names:
                claims[name].setdefault((level, uuid), chain)
        clashing = {name: owners for name, owners in claims.items() if len(owners) > 1}
        result = []
        for chain in chains:
            hit = next((name for _, name, _ in chain.names if name in clashing), None)
            if hit is None:
                result.append(chain)
                continue
            who = ", ".join(
                sorted(
                    f'the {level} of resource "{c.resource.name}" ({c.resource.uuid})'
                    for (level, _), c in clashing[hit].items()
                )
            )
            self._refuse(chain, f"account name {hit!r} is claimed by {who}")
        return result

    # ------------------------------------------------------------------ accounts

    def _qos_objects(self) -> None:
        for name, policy in self.config.reconcile.qos.items():
            self.desired.objects[kinds.qos(fold(name))] = Obj(
                {"flags": frozenset(policy.flags)}, f"reconcile.qos.{name} in the configuration"
            )

    def _add(self, address: Address, values: Mapping[str, Wanted], reason: str, offering: str) -> None:
        present = self.desired.objects.get(address)
        offerings = frozenset({offering}) | (present.offerings if present else frozenset())
        self.desired.objects[address] = Obj(values, present.reason if present else reason, offerings)

    def _accounts(self, chain: _Chain) -> None:
        resource, offering = chain.resource, chain.source.offering
        if offering.order_backend != "slurm":
            # somebody else makes the accounts; who may run on them is still ours
            self.scope.existing_only.add(chain.allocation)
            self.built.resources[chain.allocation] = (offering, resource)
            values: dict[str, Wanted] = {"qos": self._qos(offering, resource)}
            self._add(kinds.account(chain.allocation), values, _reason(offering, resource), offering.name)
            return
        root = fold(offering.backend_settings.hierarchy_root)
        self.built.resources[chain.allocation] = (offering, resource)
        if chain.customer:
            self._add(
                kinds.account(chain.customer),
                _texts(root, resource.customer_name, chain.customer),
                f'customer "{resource.customer_name}" has resources here',
                offering.name,
            )
        if chain.project and (chain.customer or offering.backend_settings.parent_account):
            parent = chain.customer or root
            self._add(
                kinds.account(chain.project),
                _texts(parent, resource.project_name, chain.project),
                f'project "{resource.project_name}" has resources here',
                offering.name,
            )
        placed = chain.project and kinds.account(chain.project) in self.desired.objects
        texts = _texts(chain.project, resource.name, chain.allocation, organization=chain.project)
        if not placed:  # an older server that tells no slugs: the account stays where it is
            texts = {"description": texts["description"]}
        values = {
            **texts,
            "grp_tres_mins": self._limits(offering, resource),
            "fairshare": self._fairshare(resource),
            "qos": self._qos(offering, resource),
        }
        self._add(kinds.account(chain.allocation), values, _reason(offering, resource), offering.name)

    def _limits(self, offering: Offering, resource: Resource) -> Wanted:
        wanted: dict[str, int] = {}
        unmanaged: set[str] = set()
        problems: list[str] = []
        for name, component in offering.backend_components.items():
            factors = {fold(tres): target.factor for tres, target in component.target_components.items()} or {
                fold(name): component.unit_factor
            }
            amount: object = component.limit if component.accounting_type == "usage" else resource.limits.get(name)
            if amount is None:
                if component.accounting_type != "usage":
                    unmanaged |= factors.keys()
                    text = f'resource "{resource.name}" has no limit for {name!r}: {", ".join(factors)} left as is'
                    self.desired.warnings.append(Note(resource_address(resource), text, offering.name))
                continue
            try:
                if component.accounting_type == "one" and resource.created:
                    months = prepaid_months(resource.created, resource.end_date or resource.created)
                    amount = decimal(amount) * months
                for tres, factor in factors.items():
                    wanted[tres] = wanted.get(tres, 0) + to_units(amount, factor)
            except UnitError as error:
                problems.append(f"limit of {name!r}: {error}")
        result: Wanted = TresExcept(wanted, frozenset(unmanaged)) if unmanaged else wanted
        return Refused(result, "; ".join(problems)) if problems else result  # type: ignore[arg-type]

    def _fairshare(self, resource: Resource) -> Wanted:
        rule = self.config.reconcile.fairshare
        if rule is None:
            return UNMANAGED
        if not isinstance(rule, FairshareFrom):
            return rule
        where, key = next(
            (w, k)
            for w, k in (
                (resource.attributes, rule.attribute),
                (resource.options, rule.option),
                (resource.limits, rule.limit),
            )
            if k is not None
        )
        found = where.get(key)
        if found is None:
            return UNMANAGED
        if found == "parent":
            return "parent"
        try:
            return max(1, to_units(found, rule.factor))
        except UnitError as error:
            return Refused(None, f"{key}: {error}")

    def _qos(self, offering: Offering, resource: Resource) -> Wanted:
        settings = offering.backend_settings
        special = {fold(q) for q in (settings.qos_paused, settings.qos_downscaled) if q}
        default = frozenset({fold(settings.qos_default)})
        for flag, key, name in (
            (resource.paused, "qos_paused", settings.qos_paused),
            (resource.downscaled, "qos_downscaled", settings.qos_downscaled),
        ):
            if flag:
                if name:
                    return frozenset({fold(name)})
                word = key.removeprefix("qos_")
                return Refused(frozenset(), f"the resource is {word}, but backend_settings.{key} is not set")
        if self.config.reconcile.extra_qos == "remove":
            return default
        return AtLeast(default, frozenset(special) - default)

    # ------------------------------------------------------------------ members

    def _members(self, source: Source, chains: list[_Chain]) -> None:
        offering, facts = source.offering, source.facts
        people = {u.user_uuid: u for u in facts.offering_users}
        claimed: dict[str, set[str]] = defaultdict(set)
        for person in facts.offering_users:
            if person.username and person.state not in LEAVING_STATES:
                claimed[fold(person.username)].add(person.user_uuid)
        told: set[str] = set()
        problems: dict[str, str] = {}
        common = fold(offering.backend_settings.default_account)
        if offering.backend_settings.default_account_policy == "common" and not self._protected(common):
            self.scope.managed.add(common)
            self.scope.shared.add(common)
        for chain in chains if offering.membership_backend == "slurm" else ():
            self.scope.managed.add(chain.allocation)
            members = facts.members.get(chain.resource.team or chain.resource.project_uuid, frozenset())
            if chain.resource.restrict_member_access:
                members = frozenset()
            for uuid in sorted(members):
                member = people.get(uuid)
                if member is None or not member.username:
                    self._waiting_user(uuid, offering, told)
                    continue
                if member.restricted or member.state in LEAVING_STATES:
                    continue
                name = fold(member.username)
                if name not in problems:
                    problems[name] = self._user_problem(name, claimed)
                if problem := problems[name]:
                    self.scope.held_users.add(name)
                    if name not in told:
                        told.add(name)
                        self._refused_user(member, problem, offering)
                    continue
                self._add(
                    kinds.association(chain.allocation, name),
                    self._member_values(chain),
                    f'{member.username} is a member of project "{chain.resource.project_name}"',
                    offering.name,
                )
                if offering.backend_settings.default_account_policy == "common":
                    self._common_account(offering, name)
        self._default_policy(offering)

    def _user_problem(self, name: str, claimed: Mapping[str, set[str]]) -> str:
        if problem := name_problem(name):
            return problem
        if self._protected(name):
            return "the name is protected (reconcile.guards.protected)"
        if len(claimed[name]) > 1:
            return f"{len(claimed[name])} people have it in Waldur ({', '.join(sorted(claimed[name]))})"
        return ""

    def _waiting_user(self, uuid: str, offering: Offering, told: set[str]) -> None:
        if uuid not in told:
            told.add(uuid)
            note = Note(Address("waldur.offering_user", (uuid,)), "has no username yet", offering.name)
            self.desired.waiting.append(note)

    def _refused_user(self, member: OfferingUser, why: str, offering: Offering) -> None:
        address = Address("waldur.offering_user", (member.user_uuid,))
        self.desired.refused.append(Note(address, f"username {member.username!r}: {why}", offering.name))

    def _member_values(self, chain: _Chain) -> Mapping[str, Wanted]:
        squeezed = chain.resource.paused or chain.resource.downscaled
        drained = self.config.reconcile.on_member_removal == "drain"
        # shared by all associations of a sort: there may be 100,000 of them
        if (squeezed, drained) not in self._values:
            values: dict[str, Wanted] = {}
            if squeezed:
                values["qos"] = frozenset()  # a QoS of the user's own would escape the account's
            if drained:
                values["max_submit_jobs"] = Unless(None, frozenset({0}))
            self._values[(squeezed, drained)] = values
        return self._values[(squeezed, drained)]

    def _common_account(self, offering: Offering, user: str) -> None:
        common = fold(offering.backend_settings.default_account)
        if self._protected(common):
            return
        self._add(
            kinds.association(common, user),
            self._values.setdefault("common", {}),
            "default_account_policy is common",
            offering.name,
        )
        self.scope.common_default[user] = common

    def _default_policy(self, offering: Offering) -> None:
        if offering.backend_settings.default_account_policy == "none":
            self.scope.leave_defaults = True


def _texts(parent: str, name: str, account: str, organization: str = "") -> dict[str, Wanted]:
    """Description is Waldur's name; organization the account's own name, or its project's."""
    return {
        "parent": parent,
        "description": clean_text(name) or account,
        "organization": organization or account,
    }


def _reason(offering: Offering, resource: Resource) -> str:
    parts = [f'resource "{resource.name}" {resource.uuid} of offering "{offering.name}"']
    if resource.limits_from:
        parts.append(f"limits of executing order {resource.limits_from}")
    if resource.paused:
        parts.append("paused")
    elif resource.downscaled:
        parts.append("downscaled")
    if resource.restrict_member_access:
        parts.append("member access restricted")
    return ", ".join(parts)
