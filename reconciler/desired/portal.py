"""What Waldur is told: backend_id, state and metadata of resources, and how orders end. Pure.

The portal's side as a state, and what it should be once the plan for the cluster has been applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.config import Config, Offering
from reconciler.desired.accounts import Chain, Source
from reconciler.desired.budgets import limited
from reconciler.desired.built import Built
from reconciler.providers.base import Backend
from reconciler.state import waldur
from reconciler.state.diff import Action, Change, values_of
from reconciler.state.facts import CREATE, DONE, ERRED, EXECUTING, OK, ORDER_ERRED, RESTORE, Order, Resource
from reconciler.state.kinds import KINDS, is_member
from reconciler.state.model import Address, Desired, Note, Obj, State
from reconciler.state.names import fold
from reconciler.state.portal import amounts, moment
from reconciler.state.values import UNMANAGED, Refused, Since, Value, Wanted

_NO_NAME = "No account could be made for this allocation on the cluster: its name cannot be used. Ask the provider."
_NO_ACCOUNT = "The account of this allocation is missing on the cluster and cannot be made. The provider can see why."
_BUSY = "{} jobs are running or pending in this allocation. Wait for them or cancel them, then terminate it again."


@dataclass(frozen=True)
class Plans:
    """What is planned for a cluster, as far as portals are told of it.

    ``busy``: jobs by account that an order ends; ``absent``: by offering, fields that its portal has no place for.
    """

    cluster: Desired
    actual: State
    changes: Sequence[Change]
    busy: Mapping[str, int] = field(default_factory=dict)
    absent: Mapping[str, frozenset[str]] = field(default_factory=dict)


def report(built: Built, plans: Plans, config: Config, now: datetime, backend: Backend) -> Desired:
    """What the portals should hold once the changes are applied."""
    return _Reporter(built, plans, config, now, backend).report()


class _Reporter:
    def __init__(self, built: Built, plans: Plans, config: Config, now: datetime, backend: Backend) -> None:
        self.built, self.config, self.now, self.backend = built, config, now, backend
        self.cluster, self.actual, self.busy, self.absent = plans.cluster, plans.actual, plans.busy, plans.absent
        self.account = backend.shape.account_at
        self.budget = backend.shape.budget_of
        self.desired = Desired()
        self.live = {c.address: c for c in plans.changes if not c.blocked}
        self.blocked = {c.address: c.blocked for c in plans.changes if c.blocked and not c.aside}
        self._members: dict[str, set[Address]] = defaultdict(set)

    def report(self) -> Desired:
        for address in self.live:
            if is_member(address):
                self._members[address.key[0]].add(address)
        built = self.built
        served = [c for c in (*built.chains, *built.rejected) if self._serves(c.source)]
        old = {c.source.offering.name for c in served if not c.source.facts.takes_states}
        for name in sorted(old):
            text = "this Waldur (before version 8) takes no states and no last sync of resources: they are not reported"
            self.desired.warnings.append(Note(waldur.offering(name), text, name))
        for chain in served:
            self._resource(chain)
            if chain.resource.order is not None:
                self._order(chain, chain.resource.order)
        for chain in built.leaving:
            if self._serves(chain.source) and chain.resource.order is not None:
                self._ending(chain, chain.resource.order)
        return self.desired

    def _serves(self, source: Source) -> bool:
        return source.facts.writable and source.offering.owns_accounts

    def _after(self, address: Address) -> Mapping[str, Value] | None:
        """An object's values once the plan is applied, or None when it will not be there."""
        change = self.live.get(address)
        if change is None:
            return values_of(self.actual[address]) if address in self.actual else None
        if change.action is Action.CREATE:
            return {**{f.name: f.fresh for f in KINDS[address.kind].fields}, **(change.after or {})}
        return change.after

    def _touching(self, chain: Chain) -> frozenset[Address]:
        """Changes without which its account is not there, or not as it should be.

        What is put right about accounts above it is nobody's hindrance, unless they are made or moved.
        """
        own = self.account(chain.allocation)
        above = {self.account(name) for level, name, _ in chain.names if level != "allocation"}
        placing = {
            a
            for a in above & self.live.keys()
            if self.live[a].action is Action.CREATE or self.live[a].kind.above in self.live[a].changed()
        }
        return frozenset(({own, *self.budget(chain.allocation)} & self.live.keys()) | placing)

    def _refusals(self, name: str) -> list[Refused]:
        """What an account should be, or have, and must not be given."""
        both = (self.cluster.objects.get(a) for a in (self.account(name), *self.budget(name)))
        return [v for wanted in both if wanted for v in wanted.values.values() if isinstance(v, Refused)]

    def _refused(self, name: str) -> str:
        """What was ordered and cannot be, whatever the site does."""
        return "; ".join(v.why for v in self._refusals(name) if v.final)

    def _why_not(self, chain: Chain) -> str:
        """Why the account will not be there after the plan, or not as it should be."""
        for _, name, _ in chain.names:
            address = self.account(name)
            if address in self.blocked:
                return f"{address} is blocked: {self.blocked[address]}"
            if address in self.cluster.held:
                return f"{address}: {self.cluster.held[address]}"
            if self._after(address) is None:
                return f"{address} is not on the cluster"
        stuck = (a for a in self.budget(chain.allocation) if a in self.blocked)
        return next((f"{a} is blocked: {self.blocked[a]}" for a in stuck), "")

    def _told(self, name: str, account: Mapping[str, Value]) -> Mapping[str, Value]:
        """An account's values, with those of the budget that is an object of its own."""
        budgets = (self._after(address) for address in self.budget(name))
        return {k: v for values in (account, *budgets) if values for k, v in values.items()}

    # ------------------------------------------------------------------ resources

    def _resource(self, chain: Chain) -> None:
        resource, offering = chain.resource, chain.source.offering
        account = self.account(chain.allocation)
        after = self._after(account)
        if resource.uuid in self.built.failed and not resource.backend_id:
            after = None  # an account of that name is somebody else's
        values: dict[str, Wanted] = {}
        reason = f'resource "{resource.name}" of offering "{offering.name}" has account {chain.allocation}'
        if resource.uuid not in self.built.failed and after is not None:
            if fold(resource.backend_id) != chain.allocation:
                values["backend_id"] = chain.allocation
                if chain.allocation in self.built.adopted:
                    reason += ", which is adopted: it was there already and nothing else owns it"
            values |= self.backend.told(self._told(chain.allocation, after))
            # a limit with carryover and grace is not what was bought
            if chain.source.facts.rules is None and not limited(self.config.reconcile.limits_owner, resource):
                values["limits"] = self._limits(offering, resource, self._told(chain.allocation, after))
        if chain.source.facts.takes_states and resource.order is None:
            values |= self._state(chain, after)
        values["last_sync"] = self._last_sync(resource) if after is not None else UNMANAGED
        values |= dict.fromkeys(self.absent.get(offering.name, frozenset()) & values.keys(), UNMANAGED)
        if any(v is not UNMANAGED for v in values.values()):
            # an order that the provider cannot take on leaves the account without what it brings
            needs = self._touching(chain) | chain.needs
            self.desired.objects[waldur.resource(resource.uuid)] = Obj(
                values, reason, frozenset({offering.name}), needs=needs
            )

    def _state(self, chain: Chain, after: Mapping[str, Value] | None) -> dict[str, Wanted]:
        resource = chain.resource
        if after is not None:
            sound = resource.uuid not in self.built.failed and not self._refusals(chain.allocation)
            fine = sound and not self._why_not(chain)
            return {"state": OK} if resource.state == ERRED and fine else {}
        if resource.state not in (OK, ERRED) or not resource.backend_id:
            return {}  # one that is Erred without a backend_id waits for its order, also once the name is mended
        text = _NO_NAME if resource.uuid in self.built.failed else _NO_ACCOUNT
        return {"state": ERRED, "error_message": text}

    def _last_sync(self, resource: Resource) -> Wanted:
        hours = self.config.reconcile.last_sync_hours
        if resource.last_sync is None or not hours:
            return UNMANAGED
        return Since(moment(self.now), moment(self.now - timedelta(hours=hours)))

    def _limits(self, offering: Offering, resource: Resource, after: Mapping[str, Value]) -> Wanted:
        """The cluster's limits in Waldur's units, where the site lets the cluster own them."""
        told = dict(resource.told_limits)
        for name, amount in self.backend.amounts(after, offering.backend_components, told).items():
            if amount is None:
                text = f"no limit of {name!r} on the cluster: Waldur's is left as it is"
                self.desired.warnings.append(Note(waldur.resource(resource.uuid), text, offering.name))
            else:
                told[name] = amount
        return amounts(told)

    # ------------------------------------------------------------------ orders

    def _end(self, chain: Chain, order: Order, state: str, why: str, needs: frozenset[Address], text: str = "") -> None:
        values: dict[str, Wanted] = {"state": state}
        if text:
            values["error_message"] = text
        reason = f'{order.type} order of resource "{chain.resource.name}": {why}'
        offerings = frozenset({chain.source.offering.name})
        self.desired.objects[waldur.order(order.uuid)] = Obj(values, reason, offerings, needs=needs)

    def _wait(self, chain: Chain, order: Order, why: str) -> None:
        text = f'{order.type} order of resource "{chain.resource.name}" waits: {why}'
        self.desired.waiting.append(Note(waldur.order(order.uuid), text, chain.source.offering.name))

    def _order(self, chain: Chain, order: Order) -> None:
        problem = self.built.failed.get(chain.resource.uuid)
        if problem is not None and problem.final and order.type in (CREATE, RESTORE):
            self._end(chain, order, ORDER_ERRED, problem.text, frozenset(), _NO_NAME)
        elif problem is not None:
            self._wait(chain, order, problem.text)
        elif refused := self._refused(chain.allocation):
            text = f"The ordered amounts cannot be set: {refused}"
            self._end(chain, order, ORDER_ERRED, refused, frozenset(), text)
        elif why := self._why_not(chain):
            self._wait(chain, order, why)
        else:
            members = frozenset(self._members[chain.allocation] & self.live.keys())
            needs = self._touching(chain) | members | {waldur.resource(chain.resource.uuid)}
            self._end(chain, order, DONE, f"account {chain.allocation} is as ordered", needs)

    def _ending(self, chain: Chain, order: Order) -> None:
        name = chain.allocation
        account = self.account(name)
        there = name in self.built.managed.leaving and account in self.actual
        touching = frozenset({account, *self.budget(name)} | self._members[name]) & self.live.keys()
        soft = chain.source.offering.backend_settings.soft_delete
        if not there:
            self._end(chain, order, DONE, "it has no account on the cluster", frozenset())
        elif name in self.busy and self.config.reconcile.on_terminate == "refuse":
            why = f"{self.busy[name]} jobs, and reconcile.on_terminate is refuse"
            self._end(chain, order, ORDER_ERRED, why, frozenset(), _BUSY.format(self.busy[name]))
        elif why := self._lasting(account, soft=soft):
            self._wait(chain, order, why)
            self._end(chain, order, EXECUTING, "it is underway", frozenset())
        else:
            done = "keeps no limits and no members (soft_delete)" if soft else "has gone"
            self._end(chain, order, DONE, f"account {name} {done}", touching)

    def _lasting(self, account: Address, *, soft: bool) -> str:
        """Why an account that an order ends is there for longer, or nothing."""
        if account in self.cluster.held:
            return f"{account}: {self.cluster.held[account]}"
        if account in self.blocked:
            return self.blocked[account]
        if account.key[0] in self.busy:
            return f"{self.busy[account.key[0]]} jobs have to end first"
        return "" if soft or account in self.live else f"{account} stays"
