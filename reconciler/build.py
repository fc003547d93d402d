"""Desired state from what the portal says: pure, ``build(offerings, today)``.

Every resource becomes a chain of accounts (customer, project, allocation) with its members. A resource that
cannot be built is refused by name, its accounts are held as they are, and all others go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from reconciler import limits
from reconciler.chains import Chain, Problem, Protected, Source, Standing, collisions, resolve
from reconciler.config import Config, Offering
from reconciler.state import kinds
from reconciler.state.facts import LEAVING_STATES, Claim, OfferingUser, Resource
from reconciler.state.model import (
    UNMANAGED,
    Address,
    Desired,
    Note,
    Obj,
    Unless,
    Wanted,
)
from reconciler.state.naming import clean_text, fold, name_problem
from reconciler.state.ownership import Level, Scope


@dataclass
class Built:
    """The desired objects and the scope in which this program may touch anything."""

    desired: Desired
    scope: Scope
    resources: dict[str, tuple[Offering, Resource]] = field(default_factory=dict)  # by allocation account
    chains: list[Chain] = field(default_factory=list)  # those that are built
    rejected: list[Chain] = field(default_factory=list)  # those that are refused
    leaving: list[Chain] = field(default_factory=list)  # those that an order ends
    failed: dict[str, Problem] = field(default_factory=dict)  # by resource uuid: why it can have no account
    adopted: dict[str, Chain] = field(default_factory=dict)  # by account that is there and nobody's yet
    refused: set[str] = field(default_factory=set)  # allocation accounts of refused resources
    refused_members: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # by account: name and why


def resource_address(resource: Resource) -> Address:
    """The address of a portal resource."""
    return kinds.resource(resource.uuid)


def build(sources: Sequence[Source], config: Config, today: date, standing: Standing | None = None) -> Built:
    """The desired state of one cluster from all offerings on it; ``standing`` says which accounts are there."""
    return _Builder(sources, config, today, standing or Standing()).built


class _Builder:
    def __init__(self, sources: Sequence[Source], config: Config, today: date, standing: Standing) -> None:
        self.config = config
        self.today = today
        self.standing = standing
        self.desired = Desired()
        self.scope = Scope()
        self.built = Built(self.desired, self.scope)
        self._values: dict[object, Mapping[str, Wanted]] = {}
        self._held_containers: dict[str, str] = {}
        self._held_allocations: dict[str, str] = {}
        self._keeps_qos = config.reconcile.extra_qos == "keep"
        self._protected = Protected(config.reconcile.guards.protected)
        for source in sources:
            self._scope(source)
        self._claimed = _usernames(sources)
        self._roots = frozenset(fold(s.offering.backend_settings.hierarchy_root) for s in sources)
        chains = self.built.chains = self._sound(resolve(sources, standing))
        self._qos_objects()
        for chain in chains:
            self._accounts(chain)
        for name, why in (self._held_containers | self._held_allocations).items():
            if kinds.account(name) not in self.desired.objects:
                self._hold(name, why)
        for source in sources:
            self._members(source, [c for c in chains if c.source is source])

    # ------------------------------------------------------------------ scope and names

    def _scope(self, source: Source) -> None:
        offering, facts = source.offering, source.facts
        settings = offering.backend_settings
        customer, project, allocation = (fold(p) for p in settings.prefixes)
        prefixes = (project, allocation) if settings.parent_account else (customer, project, allocation)
        if offering.order_backend == "slurm":  # else somebody else makes and removes its accounts
            root = fold(settings.hierarchy_root)
            self.scope.levels.append(Level(offering.name, root, prefixes, limits.nothing(offering)))
        for person in facts.offering_users:
            if person.username and (person.restricted or person.state in LEAVING_STATES):
                why = "is restricted" if person.restricted else f"is in state {person.state}"
                self.scope.outsiders[fold(person.username)] = f"the offering user {why} in Waldur"
        self.scope.known_users |= {fold(u.username) for u in facts.offering_users if u.username}
        service = {u for names in facts.service_users.values() for u in names} | facts.closed_service_users
        self.scope.known_users |= {fold(u) for u in service}
        self.scope.strangers_unsure |= facts.strangers_unsure
        self.desired.refused += facts.bad
        self.desired.warnings += facts.notes
        self.scope.held_users |= {fold(u) for u in facts.held_users}
        for name in facts.held_names:
            self._hold(fold(name), "its resource could not be read from Waldur")

    def _hold(self, name: str, why: str) -> None:
        self.desired.held[kinds.account(name)] = why

    def _refuse(self, chain: Chain, problem: Problem) -> None:
        resource, why = chain.resource, problem.text
        text = f'resource "{resource.name}": {why}'
        self.desired.refused.append(Note(resource_address(resource), text, chain.source.offering.name))
        self.built.refused.add(chain.allocation)
        self.built.failed[resource.uuid] = problem
        self.built.rejected.append(chain)
        self._hold_chain(chain, f'resource "{resource.name}" is refused: {why}')

    def _hold_chain(self, chain: Chain, why: str) -> None:
        for level, name, _ in chain.names:
            if level == "allocation":
                self._held_allocations.setdefault(name, why)
            else:  # others of its project or customer may be fine
                self._held_containers.setdefault(name, why)

    def _sound(self, chains: list[Chain]) -> list[Chain]:
        """The chains that may be built; the others wait, or are refused by name."""
        named = []
        for chain in chains:
            resource = chain.resource
            if chain.waits:
                why = f'resource "{resource.name}" is {resource.state} and has no account yet'
                self.desired.waiting.append(Note(resource_address(resource), why, chain.source.offering.name))
                self._hold_chain(chain, why)
            elif chain.leaves and not chain.resource.backend_id:
                # an account of the computed name may be anybody's: once the resource has ended, the portal is asked
                self.built.leaving.append(chain)
            elif problem := chain.problem(self._protected, self._roots, self.standing):
                self._refuse(chain, problem)
            else:
                named.append(chain)
        clashes = collisions(named)
        sound = []
        for chain in named:
            if chain.resource.uuid in clashes:
                self._refuse(chain, Problem(clashes[chain.resource.uuid]))
            elif chain.leaves:
                self._leave(chain)
            else:
                sound.append(chain)
                if chain.adopts(self.standing):
                    self.built.adopted[chain.allocation] = chain
        return sound

    def _leave(self, chain: Chain) -> None:
        """An order ends it: its account goes, or (soft_delete) stays with nothing left."""
        resource, offering = chain.resource, chain.source.offering
        self.built.leaving.append(chain)
        text = f'order {resource.order.uuid if resource.order else ""} terminates resource "{resource.name}"'
        parents = tuple(n for n in (chain.project, chain.customer) if n)
        self.scope.leaving[chain.allocation] = Claim(
            "terminated", f"{text} {resource.uuid}", parents, offering.name, chain.needs
        )

    # ------------------------------------------------------------------ accounts

    def _qos_objects(self) -> None:
        for name, policy in self.config.reconcile.qos.items():
            self.desired.objects[kinds.qos(fold(name))] = Obj(
                {"flags": frozenset(policy.flags)}, f"reconcile.qos.{name} in the configuration"
            )

    def _add(
        self,
        address: Address,
        values: Mapping[str, Wanted],
        reason: str,
        offering: str,
        needs: frozenset[Address] = frozenset(),
    ) -> None:
        present = self.desired.objects.get(address)
        offerings = frozenset({offering}) | (present.offerings if present else frozenset())
        # what several ask for waits for none of them
        needs = needs if present is None or present.needs == needs else frozenset()
        reason = present.reason if present else reason
        self.desired.objects[address] = Obj(values, reason, offerings, needs=needs)

    def _accounts(self, chain: Chain) -> None:
        resource, offering = chain.resource, chain.source.offering
        if offering.order_backend != "slurm":
            # somebody else makes the accounts; who may run on them is still ours
            self.scope.existing_only[chain.allocation] = "orders of its offering are processed elsewhere"
            self.built.resources[chain.allocation] = (offering, resource)
            values = limits.qos(offering.backend_settings, resource, keeps=self._keeps_qos)
            self._add(kinds.account(chain.allocation), values, _reason(chain), offering.name)
            return
        root = fold(offering.backend_settings.hierarchy_root)
        self.built.resources[chain.allocation] = (offering, resource)
        if chain.customer:
            self._add(
                kinds.account(chain.customer),
                _texts(root, resource.customer_name, chain.customer),
                f'customer "{resource.customer_name}" has resources here',
                offering.name,
                chain.needs,
            )
        if chain.project and (chain.customer or offering.backend_settings.parent_account):
            parent = chain.customer or root
            self._add(
                kinds.account(chain.project),
                _texts(parent, resource.project_name, chain.project),
                f'project "{resource.project_name}" has resources here',
                offering.name,
                chain.needs,
            )
        placed = chain.project and kinds.account(chain.project) in self.desired.objects
        texts = _texts(chain.project, resource.name, chain.allocation, organization=chain.project)
        if not placed:  # an older server that tells no slugs: the account stays where it is
            texts = {"description": texts["description"]}
            self.scope.existing_only[chain.allocation] = "Waldur does not tell the slugs that say where it belongs"
        values = {
            **texts,
            "grp_tres_mins": self._limits(offering, resource),
            "fairshare": limits.fairshare(self.config.reconcile.fairshare, resource),
            **limits.qos(offering.backend_settings, resource, keeps=self._keeps_qos),
        }
        reason = _reason(chain)
        if chain.adopts(self.standing):
            reason += "; adopt: the account is there already and nothing else owns it"
        self._add(kinds.account(chain.allocation), values, reason, offering.name, chain.needs)

    def _limits(self, offering: Offering, resource: Resource) -> Wanted:
        if limits.of_cluster(self.config.reconcile.limits_owner, resource):
            return UNMANAGED
        wanted, missing = limits.of_resource(offering, resource)
        self.desired.warnings += [Note(resource_address(resource), text, offering.name) for text in missing]
        return wanted

    # ------------------------------------------------------------------ members

    def _members(self, source: Source, chains: list[Chain]) -> None:
        offering, facts = source.offering, source.facts
        people = {u.user_uuid: u for u in facts.offering_users}
        claimed = self._claimed[offering.api_url]
        told: set[str] = set()
        problems: dict[str, str] = {}
        common = fold(offering.backend_settings.default_account)
        if offering.backend_settings.default_account_policy == "common" and not self._protected.covers(common):
            self.scope.managed.add(common)
            self.scope.shared.add(common)
        for chain in chains if offering.membership_backend == "slurm" else ():
            self.scope.managed.add(chain.allocation)
            self.scope.access[chain.allocation] = (
                f'member access of resource "{chain.resource.name}" is restricted'
                if chain.resource.restrict_member_access
                else f'no member of project "{chain.resource.project_name}" any more'
            )
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
                    self.built.refused_members.setdefault(chain.allocation, []).append((name, problem))
                    if name not in told:
                        told.add(name)
                        self._refused_user(member, problem, offering)
                    continue
                self._add(
                    kinds.association(chain.allocation, name),
                    self._member_values(chain, member),
                    f'{member.username} is a member of project "{chain.resource.project_name}"',
                    offering.name,
                    member.needs,
                )
                if offering.backend_settings.default_account_policy == "common":
                    self._common_account(offering, name)
            self._service_users(chain, problems, claimed)
        self._default_policy(offering)

    def _service_users(self, chain: Chain, problems: dict[str, str], claimed: Mapping[str, set[str]]) -> None:
        """Service and course accounts of the project are members like people, also in whom they lose access with."""
        resource, offering = chain.resource, chain.source.offering
        wanted = chain.source.facts.service_users.get(resource.project_uuid, {})
        for username in sorted(wanted) if not resource.restrict_member_access else ():
            name = fold(username)
            problem = problems.setdefault(name, self._user_problem(name, claimed))
            if problem:
                self.scope.held_users.add(name)
                self.built.refused_members.setdefault(chain.allocation, []).append((name, problem))
                text = f"service or course account {username!r}: {problem}"
                self.desired.refused.append(Note(kinds.association(chain.allocation, name), text, offering.name))
                continue
            reason = f'{username} is a service or course account of project "{resource.project_name}"'
            values = self._member_values(chain, None)
            self._add(kinds.association(chain.allocation, name), values, reason, offering.name)

    def _user_problem(self, name: str, claimed: Mapping[str, set[str]]) -> str:
        if problem := name_problem(name):
            return problem
        if self._protected.covers(name):
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

    def _member_values(self, chain: Chain, member: OfferingUser | None) -> Mapping[str, Wanted]:
        squeezed = chain.resource.paused or chain.resource.downscaled
        told = chain.source.facts.user_limits
        own: Mapping[str, object] = {}
        if told and member is not None:
            of_resource = told.get(chain.resource.uuid, {})
            own = of_resource.get(member.uuid) or of_resource.get(member.user_uuid) or {}
        # shared by all associations of a sort: there may be 100,000 of them
        sort = (squeezed, chain.source.offering.name, told is None, tuple(sorted((k, str(v)) for k, v in own.items())))
        if sort not in self._values:
            # 0 is how a leaving member is drained, so it has to go when one comes back
            values: dict[str, Wanted] = {"max_submit_jobs": Unless(None, frozenset({0}))}
            if told is not None:
                values["max_tres_mins"] = limits.of_member(chain.source.offering, own)
            if squeezed:
                values |= {"qos": frozenset(), "default_qos": ""}  # the user's own would escape the account's
            self._values[sort] = values
        return self._values[sort]

    def _common_account(self, offering: Offering, user: str) -> None:
        common = fold(offering.backend_settings.default_account)
        if self._protected.covers(common):
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


def _usernames(sources: Sequence[Source]) -> dict[str, dict[str, set[str]]]:
    """By portal and folded username: the people who have it, over all offerings on the cluster."""
    result: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for source in sources:
        for person in source.facts.offering_users:
            if person.username and person.state not in LEAVING_STATES:
                result[source.offering.api_url][fold(person.username)].add(person.user_uuid)
        for names in source.facts.service_users.values():
            for name, owner in names.items():
                result[source.offering.api_url][fold(name)].add(owner)
    return result


def _texts(parent: str, name: str, account: str, organization: str = "") -> dict[str, Wanted]:
    """Description is Waldur's name; organization the account's own name, or its project's."""
    return {
        "parent": parent,
        "description": clean_text(name) or account,
        "organization": organization or account,
    }


def _reason(chain: Chain) -> str:
    offering, resource = chain.source.offering, chain.resource
    parts = [f'resource "{resource.name}" {resource.uuid} of offering "{offering.name}"']
    if resource.limits:
        parts.append("limits " + " ".join(f"{k}={v}" for k, v in sorted(resource.limits.items())))
    if resource.order is not None:
        order = resource.order
        parts.append(f"as {order.type} order {order.uuid} in state {order.state} wants it")
    if resource.paused:
        parts.append("paused")
    elif resource.downscaled:
        parts.append("downscaled")
    if resource.restrict_member_access:
        parts.append("member access restricted")
    return ", ".join(parts)
