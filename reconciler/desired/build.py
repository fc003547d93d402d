"""Desired state from what the portal says: pure, ``build(offerings, today)``.

Every resource becomes a chain of accounts (customer, project, allocation) with its members. A resource that
cannot be built is refused by name, its accounts are held as they are, and all others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reconciler.config import Config
from reconciler.desired.accounts import Chain, Problem, Protected, Source, Standing, collisions, resolve, top
from reconciler.desired.budgets import limited
from reconciler.desired.built import Built
from reconciler.desired.members import Members
from reconciler.desired.periodic import terms_of
from reconciler.providers.base import Allocation, Backend, Past
from reconciler.state import waldur
from reconciler.state.facts import LEAVING_STATES, Claim
from reconciler.state.managed import Level, Managed
from reconciler.state.model import Desired, Note
from reconciler.state.names import fold


def build(
    sources: Sequence[Source],
    config: Config,
    backend: Backend,
    standing: Standing | None = None,
    past: Callable[[str], Past] = lambda account: Past(),
) -> Built:
    """The desired state of one cluster from all offerings on it.

    ``standing`` says which accounts are there, ``past`` what else is known of one.
    """
    return _Builder(sources, config, backend, standing or Standing(), past).build()


class _Builder:
    def __init__(
        self,
        sources: Sequence[Source],
        config: Config,
        backend: Backend,
        standing: Standing,
        past: Callable[[str], Past],
    ) -> None:
        self.sources = sources
        self.past = past
        self.config = config
        self.backend = backend
        self.shape = backend.shape
        self.standing = standing
        self.desired = Desired()
        self.managed = Managed()
        self.built = Built(self.desired, self.managed)
        self.protected = Protected(config.reconcile.guards.protected)
        self._held_containers: dict[str, str] = {}
        self._held_allocations: dict[str, str] = {}
        self._roots = frozenset(top(s.offering.backend_settings, self.shape) for s in sources)

    def build(self) -> Built:
        for source in self.sources:
            self._scope(source)
        chains = self.built.chains = self._sound(resolve(self.sources, self.standing))
        self.desired.objects |= self.backend.objects(self.config)
        for chain in chains:
            self._accounts(chain)
        for name, why in (self._held_containers | self._held_allocations).items():
            if self.shape.account_at(name) not in self.desired.objects:
                self._hold(name, why)
        people = Members(self.built, self.config, self.backend, self.protected, self.sources)
        for source in self.sources:
            people.add(source, [c for c in chains if c.source is source])
        return self.built

    # ------------------------------------------------------------------ scope and names

    def _scope(self, source: Source) -> None:
        offering, facts = source.offering, source.facts
        settings = offering.backend_settings
        customer, project, allocation = (fold(p) for p in settings.prefixes)
        prefixes = (customer, project, allocation) if offering.customer_level else (project, allocation)
        if offering.owns_accounts:  # else somebody else makes and removes its accounts
            root = top(settings, self.shape)
            self.managed.levels.append(Level(offering.name, root, prefixes, self.backend.nothing(offering)))
        for person in facts.offering_users:
            if person.username and (person.restricted or person.state in LEAVING_STATES):
                why = "is restricted" if person.restricted else f"is in state {person.state}"
                self.managed.outsiders[fold(person.username)] = f"the offering user {why} in Waldur"
        self.managed.known_users |= {fold(u.username) for u in facts.offering_users if u.username}
        self.managed.spelling |= {fold(u.username): u.username for u in facts.offering_users if u.username}
        self.managed.spelling |= {fold(u): u for names in facts.service_users.values() for u in names}
        service = {u for names in facts.service_users.values() for u in names} | facts.closed_service_users
        self.managed.known_users |= {fold(u) for u in service}
        self.managed.strangers_unsure |= facts.strangers_unsure
        self.desired.refused += facts.bad
        self.desired.warnings += facts.notes
        self.managed.held_users |= {fold(u) for u in facts.held_users}
        for name in facts.held_names:
            self._hold(fold(name), "its resource could not be read from Waldur")

    def _hold(self, name: str, why: str) -> None:
        self.desired.held[self.shape.account_at(name)] = why

    def _refuse(self, chain: Chain, problem: Problem) -> None:
        resource, why = chain.resource, problem.text
        text = f'resource "{resource.name}": {why}'
        self.desired.refused.append(Note(waldur.resource(resource.uuid), text, chain.source.offering.name))
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
                self.desired.waiting.append(Note(waldur.resource(resource.uuid), why, chain.source.offering.name))
                self._hold_chain(chain, why)
            elif chain.leaves and not chain.resource.backend_id:
                # an account of the computed name may be anybody's: once the resource has ended, the portal is asked
                self.built.leaving.append(chain)
            elif problem := chain.problem(self.backend.names, self.protected, self._roots, self.standing):
                self._refuse(chain, problem)
            else:
                named.append(chain)
        clashes = collisions(named, self.backend.names.unique)
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
        self.managed.leaving[chain.allocation] = Claim(
            "terminated", f"{text} {resource.uuid}", parents, offering.name, chain.needs
        )

    # ------------------------------------------------------------------ accounts

    def _accounts(self, chain: Chain) -> None:
        resource, offering = chain.resource, chain.source.offering
        self.built.resources[chain.allocation] = (offering, resource)
        address = self.shape.account_at(chain.allocation)
        if not offering.owns_accounts:
            # somebody else makes the accounts; who may run on them is still ours
            self.managed.existing_only[chain.allocation] = "orders of its offering are processed elsewhere"
            values = self.backend.access(Allocation(offering, resource, chain.allocation, ""), self.config)
            self.built.add(address, values, _reason(chain), offering.name)
            return
        self._containers(chain)
        placed = chain.project and self.shape.account_at(chain.project) in self.desired.objects
        if not placed:  # an older server that tells no slugs: the account stays where it is
            why = "Waldur does not tell the slugs that say where it belongs"
            self.managed.existing_only[chain.allocation] = why
        above = chain.project if placed else ""
        terms = terms_of(offering, resource, chain.source.facts)
        facts = chain.source.facts
        ours = facts.rules is not None or limited(self.config.reconcile.limits_owner, resource)
        past = self.past(chain.allocation)
        allocation = Allocation(offering, resource, chain.allocation, above, ours, terms, facts.unruled, past)
        self.built.allocations.append(allocation)
        found = self.backend.account(allocation, self.config)
        if found.squeezed:
            self.built.squeezed.add(chain.allocation)
        about = waldur.resource(resource.uuid)
        self.desired.warnings += [Note(about, text, offering.name) for text in found.notes]
        reason = _reason(chain, found.arithmetic)
        if chain.adopts(self.standing):
            reason += "; adopt: the account is there already and nothing else owns it"
        self.built.add(address, found.values, reason, offering.name, chain.needs)

    def _containers(self, chain: Chain) -> None:
        """The accounts of its customer and project."""
        resource, offering = chain.resource, chain.source.offering
        root = top(offering.backend_settings, self.shape)
        wanted = [("customer", chain.customer, resource.customer_name, root)] if chain.customer else []
        if chain.project and (chain.customer or not offering.customer_level):
            wanted.append(("project", chain.project, resource.project_name, chain.customer or root))
        for level, name, title, above in wanted:
            values = self.backend.container(name, title, above)
            reason = f'{level} "{title}" has resources here'
            self.built.add(self.shape.account_at(name), values, reason, offering.name, chain.needs)


def _reason(chain: Chain, amounts: Sequence[str] = ()) -> str:
    offering, resource = chain.source.offering, chain.resource
    parts = [f'resource "{resource.name}" {resource.uuid} of offering "{offering.name}"']
    parts += amounts
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
