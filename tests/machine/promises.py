"""What must hold after each run, judged by the portal, the cluster and the journal alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.plan.model import Plan
from reconciler.state.diff import same
from reconciler.state.kinds import KINDS, Role, is_account, is_member, role_of
from reconciler.state.model import Address, State
from reconciler.state.tree import Shape, Tree
from reconciler.state.values import json_value
from reconciler.store.journal import Entry
from tests.machine.world import KNOWN, MAX_DELETIONS, PROJECTS, SECOND, Allocation, World, account_of

#: what may keep an object from being changed although nothing is broken
EXPLAINED = (
    "accounts below it",
    "has usage",
    "would go along",
    "stays",
    "an orphan that is in use",
    "limit of '",
    "belongs to",
)
Values = Mapping[Address, Mapping[str, Any]]


def is_person(address: Address) -> bool:
    """Whether it is a user's own record, where users have one."""
    return role_of(address) is Role.PERSON


def own(state: State) -> dict[Address, dict[str, Any]]:
    """What objects have of their own, as the journal keeps it: nothing that is only inherited, and no catalogues.

    Rights of coordinators are looked at on their own: they come and go with accounts and users, and show on all
    accounts below.
    """
    found: dict[Address, dict[str, Any]] = {}
    for address, obj in state.items():
        if role_of(address) not in (Role.CATALOG, Role.RIGHT):
            fresh = {f.name: f.fresh for f in KINDS[address.kind].fields}
            values = {n: fresh[n] if n in obj.inherited else v for n, v in obj.values.items()}
            found[address] = {n: json_value(v) for n, v in values.items()}  # type: ignore[arg-type]
    return found


def coordinators(state: State) -> set[tuple[str, ...]]:
    """Who coordinates which account without doing so above it."""
    here = {a.key for a in state if role_of(a) is Role.RIGHT}
    parents = Tree(state).parents
    return {(a, u) for a, u in here if (parents.get(a, ""), u) not in here}


def alike(address: Address, one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether an object is the same twice, each field as it compares."""
    if one is None or other is None:
        return one is other
    return all(same(address, n, one.get(n), other.get(n)) for n in one.keys() | other.keys())


@dataclass(frozen=True)
class Saved:
    """A plan in a file, and the world as it was when it was made."""

    path: Path
    ends: Mapping[str, Allocation]
    jobs: frozenset[tuple[str, str]]
    used: frozenset[str]


class Promises:
    """Looks at a world after a run. Raises :class:`AssertionError` where a promise was broken."""

    world: World
    ever: dict[str, Allocation]  # every resource that there was
    replayed: dict[Address, dict[str, Any]]  # the cluster as the journal tells it
    plan: Plan | None  # the last one

    @property
    def shape(self) -> Shape:
        """The cluster's accounts and members."""
        return self.world.product.shape

    def _managed(self, address: Address) -> bool:
        accounts = {a.account for a in self.ever.values()}
        accounts |= {f"p_{a.project}" for a in self.ever.values()}
        accounts |= {f"c_{PROJECTS[a.project]}" for a in self.ever.values()}
        if is_person(address):
            return address.key[0] in KNOWN
        return address.key[0] in accounts and (not is_member(address) or address.key[1] in KNOWN)

    def _pruned(self, address: Address) -> bool:
        """Whether the site wants it gone when nobody names it: what is called as ours, and strangers on it."""
        named = not is_person(address) and address.key[0].startswith(("a_", "g_", "p_", "c_"))
        return self.world.config.reconcile.prune and named

    def _coordinating(self, before: set[tuple[str, ...]], after: Values) -> None:
        """Who was a coordinator stays one where the site wants no more than to know of it."""
        now = coordinators(self.world.read())
        takes = self.world.config.reconcile.prune or self.world.config.reconcile.coordinators == "managed"
        for name, who in before - now:
            inherited = any(u == who for _, u in now)  # its account hangs elsewhere by now
            place = self.shape.account_at(name)
            gone = place not in after or self.shape.person_at(who) not in after
            ours = self._managed(place) or self._pruned(place)
            assert gone or inherited or (takes and ours), (name, who)

    def _unmanaged_untouched(self, before: Values, after: Values, moved: set[Address], ended: set[str]) -> None:
        # a stranger's access goes with an account that ended, also where usage, jobs or a death still keep that
        lost = {a for a in before.keys() - after.keys() if is_member(a) and a.key[0] in ended}
        losing = {a.key[1] for a in before if is_member(a) and a.key[0] in ended}
        losing |= {a.key[1] for a in before if is_member(a) and self._pruned(a)}
        for address in sorted(moved):
            if self._managed(address) or (self._pruned(address) and address not in after):
                continue
            # of an ended account that jobs keep, nobody may begin more of them
            drained = {**before.get(address, {}), **KINDS[address.kind].drained}
            if is_member(address) and address.key[0] in ended and after.get(address) == drained:
                continue
            assert address in lost or (is_person(address) and address.key[0] in losing), (
                address,
                before.get(address),
                after.get(address),
            )
        if self.shape.root:
            root = self.shape.account_at(self.shape.root)
            assert before[root] == after[root]

    def _guarded(
        self,
        before: Values,
        after: Values,
        ends: Mapping[str, Allocation],
        ordered: set[str],
        jobs: set[tuple[str, str]],
        used: set[str],
        allowed: frozenset[str],
    ) -> None:
        """Nothing goes that lives, and not too much of the rest without consent."""
        live = [a for n in self.ever if n not in ends and (a := self.world.allocation(n)) is not None]
        needed = {a.account for a in live if a.backend_id}
        needed |= {x for a in live if a.backend_id for x in (f"p_{a.project}", f"c_{PROJECTS[a.project]}")}
        by_order = {x for n in ordered for x in (ends[n].account, f"p_{ends[n].project}")}
        by_order |= {f"c_{PROJECTS[ends[n].project]}" for n in ordered}
        gone = {a.key[0] for a in before.keys() - after.keys() if is_account(a)}
        assert not gone & needed, (gone, needed)
        purses = {a.key[0] for a in before.keys() - after.keys() if role_of(a) is Role.BUDGET}
        assert not purses & needed, (purses, needed)
        unasked = (gone | purses) - by_order
        busy = {place for place, _ in jobs}
        assert not unasked & busy, (unasked, jobs)
        assert not unasked & used, (unasked, used)
        if self.world.config.reconcile.on_member_removal == "drain":
            # nobody's job is cancelled but for a customer who ordered the end
            assert {place for place, _ in jobs - self.world.jobs()} <= by_order, (jobs, self.world.jobs())
        lost = {a.key for a in before.keys() - after.keys() if is_member(a) and a.key[0] not in gone | by_order}
        if "max_deletions" not in allowed:
            assert len(unasked) <= MAX_DELETIONS, unasked
            # an account that is to go, and is held by its usage or jobs, has lost its members with consent
            ended = {a.account for a in ends.values()}
            assert len([k for k in lost if k[0] not in ended]) <= MAX_DELETIONS, lost
        for one in live:
            if not one.backend_id and self._shared(one):
                continue  # the account is another's
            entitled = set() if one.restricted else self.world.members(one.project) - self.world.doubtful()
            assert not {u for a, u in lost if a == one.account} & entitled, (lost, one)

    def _refused_an_order(self) -> bool:
        """Whether the last plan ended an order as erred: one for an amount that is none."""
        orders = [c for c in self.plan.changes if c.address.kind == "waldur.order"] if self.plan is not None else []
        return any((c.after or {}).get("state") == "erred" for c in orders)

    def _as_shown(self, entries: Iterable[Entry], others: set[Address]) -> None:
        """Nothing is tried that the plan did not show, nor what somebody else changed since it was made."""
        shown = {c.address for c in self.plan.changes} if self.plan is not None else set()
        tried = {Address.parse(e.address) for e in entries}
        assert tried <= shown, tried - shown
        assert not tried & others, tried & others

    def _as_saved(self, saved: Saved, before: Values, after: Values, jobs: set[tuple[str, str]]) -> None:
        """A saved plan hits no job and no usage that it could not know of."""
        assert jobs - self.world.jobs() <= saved.jobs, (jobs, saved.jobs)
        gone = {a.key[0] for a in before.keys() - after.keys() if is_account(a)}
        assert not gone & (self.world.used() - saved.used), (gone, self.world.used())

    def _journalled(self, moved: set[Address], entries: list[Entry]) -> None:
        """Nothing changes that was not written down before."""
        written = {Address.parse(e.address) for e in entries}
        people = {a.key[1] for a in written if is_member(a)}
        for address in moved - written:
            # a default account comes and goes with associations
            assert is_person(address) and address.key[0] in people, (address, entries)

    def _adopt(self, actual: Values, addresses: Iterable[Address]) -> None:
        for address in addresses:
            if address in actual:
                self.replayed[address] = dict(actual[address])
            else:
                self.replayed.pop(address, None)

    def _replay(self, entries: list[Entry], actual: Values) -> None:
        """The actions that are said to be done, one after the other, lead from what was to what is."""
        touched = [Address.parse(e.address) for e in entries]
        # who gets a first association gets a default account, which nobody said
        self._adopt(actual, {self.shape.person_at(a.key[1]) for a in touched if is_member(a) and self.shape.person})
        for address, entry in zip(touched, entries, strict=True):
            if entry.outcome != "done":
                self._adopt(actual, {address})
            elif entry.action == "delete":
                self.replayed.pop(address, None)
            else:
                fields = KINDS[address.kind].fields
                old = self.replayed.get(address, {f.name: json_value(f.fresh) for f in fields})
                said = {n: v for n, v in (entry.after or {}).items() if (entry.before or {}).get(n, ...) != v}
                self.replayed[address] = {**old, **said}
        people = {a.key[1] for a in self.replayed if is_member(a)}
        for address in [a for a in self.replayed if is_person(a) and a.key[0] not in people]:
            if not self.world.product.people_stay:
                del self.replayed[address]
        both = self.replayed.keys() | actual.keys()
        wrong = {a for a in both if not alike(a, self.replayed.get(a), actual.get(a))}
        assert not wrong, [(str(a), self.replayed.get(a), actual.get(a)) for a in sorted(wrong)]

    def _as_told(self, blocked: set[Address]) -> None:
        """The cluster is what the portal says: found without reconcile."""
        actual = own(self.world.read())
        for name in self.ever:
            one = self.world.allocation(name)
            assert one is not None
            where = self.shape.account_at(one.account)
            place = actual.get(where)
            if place is None and one.limit is None and where in blocked:
                continue  # without an amount nothing is made
            if one.state == "OK" and one.backend_id and not one.order:
                assert place is not None, one
                assert place[self.shape.above] == f"p_{one.project}"
                self.world.product.as_sold(one, place)
                here = {a.key[1] for a in actual if is_member(a) and a.key[0] == one.account}
                wanted = set() if one.restricted else self.world.members(one.project)
                known = KNOWN - self.world.doubtful()
                if self.world.config.reconcile.require_unix_user:
                    known -= self.world.unknown()
                assert here & known == wanted & known, (one, here, wanted)
                self._billed(one)
                block = self.world.config.reconcile
                heads = {u for a, u in coordinators(self.world.read()) if a == one.account}
                if block.prune or block.coordinators == "managed":
                    assert heads <= here | self.world.doubtful(), (one, heads, here)
                for person in here & known - self.world.unknown() if name not in SECOND else ():
                    assert self.world.home(person) in (None, "0700", "stolen"), (person, self.world.home(person))
            elif one.state == "Terminated" and not self._shared(one):
                assert place is None or where in blocked, one

    def _billed(self, one: Allocation) -> None:
        """The portal holds what was used, of everybody."""
        told = self.world.told(one.name)
        if told is None or any(account_of(n) == one.account for n in self.ever if n != one.name):
            return
        _, factor = self.world.component(one.name)
        spent = {user: f"{seconds / 60 / factor:.2f}" for user, seconds in self.world.spent(one.account).items()}
        total = sum(self.world.spent(one.account).values()) / 60 / factor
        assert told == ({"total": f"{total:.2f}", "users": spent} if spent else {}), (one, told, spent)

    def _shared(self, one: Allocation) -> bool:
        """Whether another resource would have the same account."""
        others = [self.world.allocation(n) for n in self.ever if n != one.name and account_of(n) == one.account]
        return any(a is not None and a.state != "Terminated" for a in others)
