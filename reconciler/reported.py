"""What Waldur is told: backend_id, state and metadata of resources, and how orders end. Pure.

The portal's side as a state, and what it should be once the plan for the cluster has been applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from reconciler import limits
from reconciler.build import Built
from reconciler.chains import Chain, Source
from reconciler.config import Config, Offering
from reconciler.state import kinds
from reconciler.state.diff import Action, Change, values_of
from reconciler.state.facts import CREATE, DONE, ERRED, EXECUTING, OK, ORDER_ERRED, RESTORE, Order, Resource
from reconciler.state.kinds import KINDS
from reconciler.state.model import UNMANAGED, Address, Desired, Note, Obj, Refused, Since, State, Value, Wanted, tres_of
from reconciler.state.naming import fold
from reconciler.state.portal import amounts, moment
from reconciler.state.units import to_amount, to_units

_NO_NAME = "No account could be made for this allocation on the cluster: its name cannot be used. Ask the provider."
_NO_ACCOUNT = "The account of this allocation is missing on the cluster and cannot be made. The provider can see why."
_BUSY = "{} jobs are running or pending in this allocation. Wait for them or cancel them, then terminate it again."


def report(
    built: Built,
    cluster: Desired,
    actual: State,
    changes: Sequence[Change],
    config: Config,
    now: datetime,
    busy: Mapping[str, int],
    absent: Mapping[str, frozenset[str]],
) -> Desired:
    """What the portals should hold once ``changes`` are applied.

    ``busy``: jobs by account that an order ends; ``absent``: by offering, fields that its portal has no place for.
    """
    return _Reporter(built, cluster, actual, changes, config, now, busy, absent).desired


class _Reporter:
    def __init__(
        self,
        built: Built,
        cluster: Desired,
        actual: State,
        changes: Sequence[Change],
        config: Config,
        now: datetime,
        busy: Mapping[str, int],
        absent: Mapping[str, frozenset[str]],
    ) -> None:
        self.absent = absent
        self.built, self.cluster, self.actual, self.config, self.now, self.busy = (
            built, cluster, actual, config, now, busy
        )  # fmt: skip
        self.desired = Desired()
        self.live = {c.address: c for c in changes if not c.blocked}
        self.blocked = {c.address: c.blocked for c in changes if c.blocked}
        self._members: dict[str, set[Address]] = defaultdict(set)
        for change in self.live.values():
            if change.address.kind == "slurm.association":
                self._members[change.address.key[0]].add(change.address)
        served = [c for c in (*built.chains, *built.rejected) if self._serves(c.source)]
        old = {c.source.offering.name for c in served if not c.source.facts.takes_states}
        for name in sorted(old):
            text = "this Waldur (before version 8) takes no states and no last sync of resources: they are not reported"
            self.desired.warnings.append(Note(Address("waldur.offering", (name,)), text, name))
        for chain in served:
            self._resource(chain)
            if chain.resource.order is not None:
                self._order(chain, chain.resource.order)
        for chain in built.leaving:
            if self._serves(chain.source) and chain.resource.order is not None:
                self._ending(chain, chain.resource.order)

    def _serves(self, source: Source) -> bool:
        return source.facts.writable and source.offering.order_backend == "slurm"

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
        own = kinds.account(chain.allocation)
        above = {kinds.account(name) for level, name, _ in chain.names if level != "allocation"}
        placing = {
            a
            for a in above & self.live.keys()
            if self.live[a].action is Action.CREATE or "parent" in self.live[a].changed()
        }
        return frozenset(({own} & self.live.keys()) | placing)

    def _unwritable(self, account: Address) -> bool:
        wanted = self.cluster.objects.get(account)
        return wanted is not None and any(isinstance(v, Refused) for v in wanted.values.values())

    def _refused(self, account: Address) -> str:
        """What was ordered and cannot be, whatever the site does."""
        wanted = self.cluster.objects.get(account)
        found = [v.why for v in wanted.values.values() if isinstance(v, Refused) and v.final] if wanted else []
        return "; ".join(found)

    def _why_not(self, chain: Chain) -> str:
        """Why the account will not be there after the plan, or not as it should be."""
        for _, name, _ in chain.names:
            address = kinds.account(name)
            if address in self.blocked:
                return f"{address} is blocked: {self.blocked[address]}"
            if address in self.cluster.held:
                return f"{address}: {self.cluster.held[address]}"
            if self._after(address) is None:
                return f"{address} is not on the cluster"
        return ""

    # ------------------------------------------------------------------ resources

    def _resource(self, chain: Chain) -> None:
        resource, offering = chain.resource, chain.source.offering
        account = kinds.account(chain.allocation)
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
            values |= {n: after.get(n) for n in ("qos", "fairshare", "grp_tres_mins")}
            if limits.of_cluster(self.config.reconcile.limits_owner, resource):
                values["limits"] = self._limits(offering, resource, after)
        if chain.source.facts.takes_states and resource.order is None:
            values |= self._state(chain, after)
        values["last_sync"] = self._last_sync(resource) if after is not None else UNMANAGED
        values |= dict.fromkeys(self.absent.get(offering.name, frozenset()) & values.keys(), UNMANAGED)
        if any(v is not UNMANAGED for v in values.values()):
            # an order that the provider cannot take on leaves the account without what it brings
            needs = self._touching(chain) | chain.needs
            self.desired.objects[kinds.resource(resource.uuid)] = Obj(
                values, reason, frozenset({offering.name}), needs=needs
            )

    def _state(self, chain: Chain, after: Mapping[str, Value] | None) -> dict[str, Wanted]:
        resource = chain.resource
        if after is not None:
            account = kinds.account(chain.allocation)
            fine = resource.uuid not in self.built.failed and not self._why_not(chain) and not self._unwritable(account)
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
        have = after.get("grp_tres_mins")
        told = dict(resource.told_limits)
        for name, component in offering.backend_components.items():
            if component.has_own_limit and isinstance(have, Mapping):
                minutes = tres_of(have).get(fold(name))
                if minutes is None:
                    text = f"no limit of {name!r} on the cluster: Waldur's is left as it is"
                    self.desired.warnings.append(Note(kinds.resource(resource.uuid), text, offering.name))
                elif to_units(told.get(name) or 0, component.unit_factor) != minutes:
                    # up to two decimals, so that nobody is billed for less than the cluster gives
                    told[name] = to_amount(minutes, component.unit_factor)
        return amounts(told)

    # ------------------------------------------------------------------ orders

    def _end(self, chain: Chain, order: Order, state: str, why: str, needs: frozenset[Address], text: str = "") -> None:
        values: dict[str, Wanted] = {"state": state}
        if text:
            values["error_message"] = text
        reason = f'{order.type} order of resource "{chain.resource.name}": {why}'
        offerings = frozenset({chain.source.offering.name})
        self.desired.objects[kinds.order(order.uuid)] = Obj(values, reason, offerings, needs=needs)

    def _wait(self, chain: Chain, order: Order, why: str) -> None:
        text = f'{order.type} order of resource "{chain.resource.name}" waits: {why}'
        self.desired.waiting.append(Note(kinds.order(order.uuid), text, chain.source.offering.name))

    def _order(self, chain: Chain, order: Order) -> None:
        account = kinds.account(chain.allocation)
        problem = self.built.failed.get(chain.resource.uuid)
        if problem is not None and problem.final and order.type in (CREATE, RESTORE):
            self._end(chain, order, ORDER_ERRED, problem.text, frozenset(), _NO_NAME)
        elif problem is not None:
            self._wait(chain, order, problem.text)
        elif refused := self._refused(account):
            text = f"The ordered amounts cannot be set: {refused}"
            self._end(chain, order, ORDER_ERRED, refused, frozenset(), text)
        elif why := self._why_not(chain):
            self._wait(chain, order, why)
        else:
            members = frozenset(self._members[chain.allocation] & self.live.keys())
            needs = self._touching(chain) | members | {kinds.resource(chain.resource.uuid)}
            self._end(chain, order, DONE, f"account {chain.allocation} is as ordered", needs)

    def _ending(self, chain: Chain, order: Order) -> None:
        name = chain.allocation
        account = kinds.account(name)
        there = name in self.built.scope.leaving and account in self.actual
        touching = frozenset({account} | self._members[name]) & self.live.keys()
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
