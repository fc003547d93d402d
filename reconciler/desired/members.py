"""Who may use an account: the members of its project in the portal, service accounts, and who coordinates it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reconciler.config import Config, Offering
from reconciler.config.settings import COMMON
from reconciler.desired.accounts import Chain, Protected, Source
from reconciler.desired.built import Built
from reconciler.providers.base import Backend, NameRules
from reconciler.state import waldur
from reconciler.state.facts import LEAVING_STATES, OfferingUser
from reconciler.state.model import Note
from reconciler.state.names import fold
from reconciler.state.values import Wanted


class Members:
    """Adds the members of sound chains to what is built; a name that cannot be used spoils itself alone."""

    def __init__(
        self, built: Built, config: Config, backend: Backend, protected: Protected, sources: Sequence[Source]
    ) -> None:
        self.built, self.desired, self.managed = built, built.desired, built.managed
        self.config = config
        self.backend = backend
        self.protected = protected
        self._claimed = _usernames(sources)
        self._values: dict[object, Mapping[str, Wanted]] = {}

    def add(self, source: Source, chains: Sequence[Chain]) -> None:
        """The members of one offering's accounts."""
        offering = source.offering
        settings = offering.backend_settings
        common = fold(settings.common_account)
        if common and not self.protected.covers(common):
            self.managed.managed.add(common)
            self.managed.shared.add(common)
        problems = _Problems(self.backend.names, self.protected, self._claimed[offering.api_url])
        people = {u.user_uuid: u for u in source.facts.offering_users}
        told: set[str] = set()
        for chain in chains if offering.owns_members else ():
            self._people(chain, people, problems, told)
            self._service_users(chain, problems)
            self._coordinators(chain, people)
        if settings.leaves_defaults:
            self.managed.leave_defaults = True

    def _people(self, chain: Chain, people: Mapping[str, OfferingUser], problems: _Problems, told: set[str]) -> None:
        resource, offering = chain.resource, chain.source.offering
        self.managed.managed.add(chain.allocation)
        self.managed.access[chain.allocation] = (
            f'member access of resource "{resource.name}" is restricted'
            if resource.restrict_member_access
            else f'no member of project "{resource.project_name}" any more'
        )
        team = chain.source.facts.members.get(resource.team or resource.project_uuid, frozenset())
        common = fold(offering.backend_settings.common_account)
        for uuid in sorted(team) if not resource.restrict_member_access else ():
            member = people.get(uuid)
            if member is None or not member.username:
                self._waiting(uuid, offering, told)
                continue
            if member.restricted or member.state in LEAVING_STATES:
                continue
            name = fold(member.username)
            if problem := problems.of(name):
                self._hold(chain, name, problem)
                if name not in told:
                    told.add(name)
                    address = waldur.offering_user(member.user_uuid)
                    text = f"username {member.username!r}: {problem}"
                    self.desired.refused.append(Note(address, text, offering.name))
                continue
            reason = f'{member.username} is a member of project "{resource.project_name}"'
            self._member(chain, name, member, reason)
            if common:
                self._common_account(offering, common, name)

    def _member(self, chain: Chain, name: str, member: OfferingUser | None, reason: str) -> None:
        address = self.backend.shape.member_at(chain.allocation, name)
        needs = member.needs if member is not None else frozenset()
        self.built.add(address, self._wanted(chain, member), reason, chain.source.offering.name, needs)

    def _hold(self, chain: Chain, name: str, problem: str) -> None:
        self.managed.held_users.add(name)
        self.built.refused_members.setdefault(chain.allocation, []).append((name, problem))

    def _waiting(self, uuid: str, offering: Offering, told: set[str]) -> None:
        if uuid not in told:
            told.add(uuid)
            self.desired.waiting.append(Note(waldur.offering_user(uuid), "has no username yet", offering.name))

    def _service_users(self, chain: Chain, problems: _Problems) -> None:
        """Service and course accounts of the project are members like people, also in whom they lose access with."""
        resource = chain.resource
        wanted = chain.source.facts.service_users.get(resource.project_uuid, {})
        for username in sorted(wanted) if not resource.restrict_member_access else ():
            name = fold(username)
            if problem := problems.of(name):
                self._hold(chain, name, problem)
                text = f"service or course account {username!r}: {problem}"
                address = self.backend.shape.member_at(chain.allocation, name)
                self.desired.refused.append(Note(address, text, chain.source.offering.name))
                continue
            reason = f'{username} is a service or course account of project "{resource.project_name}"'
            self._member(chain, name, None, reason)

    def _wanted(self, chain: Chain, member: OfferingUser | None) -> Mapping[str, Wanted]:
        """What a member has; shared by all members of a sort: there may be 100,000 of them."""
        squeezed = chain.resource.paused or chain.resource.downscaled or chain.allocation in self.built.squeezed
        told, offering = chain.source.facts.user_limits, chain.source.offering
        own: Mapping[str, object] = {}
        if told and member is not None:
            of_resource = told.get(chain.resource.uuid, {})
            own = of_resource.get(member.uuid) or of_resource.get(member.user_uuid) or {}
        sort = (squeezed, offering.name, told is None, tuple(sorted((k, str(v)) for k, v in own.items())))
        if sort not in self._values:
            amounts = None if told is None else own
            self._values[sort] = self.backend.member(offering, self.config, amounts, squeezed=squeezed)
        return self._values[sort]

    def _common_account(self, offering: Offering, common: str, user: str) -> None:
        if self.protected.covers(common):
            return
        address = self.backend.shape.member_at(common, user)
        nothing = self._values.setdefault("common", {})
        self.built.add(address, nothing, COMMON, offering.name)
        self.managed.common_default[user] = common

    def _coordinators(self, chain: Chain, people: Mapping[str, OfferingUser]) -> None:
        """Who coordinates an account by a role in Waldur, where the configuration names such roles."""
        by_offering, name = self.config.reconcile.coordinators, chain.source.offering.name
        roles = by_offering.get(name) if isinstance(by_offering, dict) else None
        if roles is None:
            return
        facts = chain.source.facts
        wanted = {role.lower() for role in roles}
        if not any(role.lower() in wanted for team in facts.roles.values() for has in team.values() for role in has):
            named = ", ".join(sorted(roles))
            text = f"nobody has a role of reconcile.coordinators ({named}) in Waldur: none is taken away for lack of it"
            note = Note(waldur.offering(name), text, name)
            self.desired.warnings += [note] if note not in self.desired.warnings else []
            return
        team = facts.roles.get(chain.resource.team or chain.resource.project_uuid, {})
        having = {u for u, has in team.items() if {role.lower() for role in has} & wanted}
        chosen = {u for u in having if u in people and people[u].username}
        self.managed.coordinators[chain.allocation] = frozenset(fold(people[u].username) for u in chosen)


class _Problems:
    """Why names of users cannot be used, each judged once."""

    def __init__(self, rules: NameRules, protected: Protected, claimed: Mapping[str, set[str]]) -> None:
        self._rules, self._protected, self._claimed = rules, protected, claimed
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Why a folded name cannot be used, or nothing."""
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def _found(self, name: str) -> str:
        if problem := self._rules.problem(name):
            return problem
        if self._protected.covers(name):
            return "the name is protected (reconcile.guards.protected)"
        having = self._claimed[name]
        return f"{len(having)} people have it in Waldur ({', '.join(sorted(having))})" if len(having) > 1 else ""


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
