"""Rules: runs of every kind, and after each of them the promises are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED
from reconciler.plan.document import save
from reconciler.state.kinds import is_member
from tests.machine.edits import Edits
from tests.machine.moves import BY_HAND, CHOICES, MOVES, NONSENSE, TARGETS
from tests.machine.promises import EXPLAINED, Saved
from tests.machine.world import CONSENT, PEOPLE, account_of
from tests.memory.faults import Fault


class Machine(Edits):
    """Both sides move, runs fail and die, and after each of them the promises are looked at."""

    @initialize(limit=st.integers(1, 5), ordered=st.booleans(), choices=CHOICES)
    def begin(self, limit: int, ordered: bool, choices: Mapping[str, Any]) -> None:
        """Somebody has something already, and an operator too."""
        hosted = choices["require_unix_user"] and not self.world.unknown() >= {*PEOPLE}
        block = self.world.config.reconcile.model_copy(update={**choices, "require_unix_user": hosted})
        self.world.config = self.world.config.model_copy(update={"reconcile": block})
        self.add("one", "alpha", limit, ordered)
        self.add("Two", "alpha", 1, not ordered)
        for person in PEOPLE[:2]:
            self.enter(person, "alpha")
        self.newcomer("emil", "alpha")
        self.add("six", "beta", 2, ordered)
        for command in self.world.product.found:
            self.by_hand(command)
        self.run_once()
        # what is nobody's among what is ours
        for command in self.world.product.strangers:
            self.by_hand(command)
        self.converge()

    @rule(
        moves=st.lists(MOVES, min_size=1, max_size=5),
        fault=st.sampled_from((None, *Fault)),
        at=st.integers(0, 8),
        only=TARGETS,
        allowed=st.sampled_from((frozenset(), CONSENT)),
    )
    def much_at_once(
        self,
        moves: list[tuple[Any, ...]],
        fault: Fault | None,
        at: int,
        only: int,
        allowed: frozenset[str],
    ) -> None:
        """Several things happen between two cycles, and then one goes wrong."""
        for what, *details in moves:
            getattr(self, what)(*details)
        self.run_once(fault, at, self.world.product.restricted(only), allowed)

    @rule(
        fault=st.sampled_from((None, *Fault)),
        at=st.integers(0, 3),
        only=TARGETS,
        allowed=st.sampled_from((frozenset(), CONSENT)),
    )
    def apply(self, fault: Fault | None, at: int, only: int, allowed: frozenset[str]) -> None:
        self.run_once(fault, at, self.world.product.restricted(only), allowed)

    @rule(
        which=st.integers(0, 9),
        who=st.integers(0, 9),
        how=st.sampled_from(("jobs", "used", "both")),
        what=st.sampled_from(("ends", "ends", "leaves")),
    )
    def goes_while_in_use(self, which: int, who: int, how: str, what: str) -> None:
        """Where a guard matters: jobs or usage on what would go, and a cycle with every consent and without a fault."""
        self.run_once(allowed=CONSENT)
        here = sorted(a.key for a in self.world.read() if is_member(a) and a.key[0][:2] in ("a_", "g_"))
        if not here:
            return
        places = sorted({place for place, _ in here})
        place = places[which % len(places)]
        people = [person for there, person in here if there == place]
        person = people[who % len(people)]
        if how != "used":
            self.world.work(place, person)
        if how != "jobs":
            self.world.use(place)
        name = next((n for n in self.ever if account_of(n) == place), "")
        found = self._here(name)
        if found is not None and what == "ends":
            self.end_without_an_order({name})
        elif found is not None:
            self.leave({person}, found.project)
        self.run_once(allowed=CONSENT)

    @rule(which=st.integers(0, 9), nonsense=st.sampled_from(NONSENSE), limit=st.integers(1, 5))
    def spoils_only_itself(self, which: int, nonsense: object, limit: int) -> None:
        """One of those that are well gets an amount that is none, and later one again."""
        sound = [n for n in self.ever if (a := self._here(n)) is not None and a.state == "OK"]
        if sound:
            name = sound[which % len(sound)]
            self.spoil(name, nonsense)
            self.converge()
            self.mend(name, limit)
            self.converge()

    @rule(which=st.integers(0, 9))
    def is_billed(self, which: int) -> None:
        """An account that is there is used, and Waldur knows after a cycle."""
        places = [n for n in self.ever if self.shape.account_at(account_of(n)) in self.world.read()]
        if places:
            self.use(places[which % len(places)])
            self.converge()

    @rule(which=st.integers(0, 9))
    def nobody_ends(self, which: int) -> None:
        """A job that runs for ever in the accounts alone is billed to nobody."""
        self.converge()
        live = [
            n
            for n in self.ever
            if (a := self.world.allocation(n)) is not None and a.state == "OK" and a.backend_id and not a.order
        ]
        places = [
            n
            for n in live
            if self.shape.account_at(account_of(n)) in self.world.read() and self.world.told(n) is not None
        ]
        if not places:
            return
        name = places[which % len(places)]
        before = self.world.told(name)
        if self.world.runaway(account_of(name)):
            assert self.run_once(allowed=CONSENT) == BLOCKED, self.told_out
            assert "runawayjobs" in self.told_out
            assert self.world.told(name) == before
            self.world.mend()
            self.converge()

    @rule(
        moves=st.lists(MOVES, min_size=1, max_size=4),
        later=st.lists(MOVES, max_size=2),
        hands=st.lists(BY_HAND, max_size=1),
        allowed=st.sampled_from((frozenset(), CONSENT, CONSENT)),
    )
    def saved_and_applied_late(
        self, moves: list[tuple[Any, ...]], later: list[tuple[Any, ...]], hands: list[int], allowed: frozenset[str]
    ) -> None:
        """What often befits a saved plan: something to do, and a little that happens until then."""
        self.save_a_plan(allowed, moves)
        for what, *details in later:
            getattr(self, what)(*details)
        for command in hands:
            self.by_hand(command)
        self.apply_what_was_saved(None, 0, allowed)

    @rule()
    def converge(self) -> None:
        """One cycle without a fault, with a person's consent where that is asked for, and nothing is left."""
        self.world.rest()
        accountless = {n for n in self.ever if (a := self.world.allocation(n)) is not None and not a.backend_id}
        code = self.run_once()
        held = any("limit_cuts" in c.blocked for c in self.plan.blocked) if self.plan is not None else False
        if code == REFUSED or held:  # or nothing is remembered, so that no limit falls unasked
            code = self.run_once(allowed=CONSENT)
        if self._refused_an_order() or (code == FAILED and "set to erred in Waldur" in self.told_out):
            # a resource that became Erred with its order is told why by the next cycle
            code = self.run_once(allowed=CONSENT)
        assert code in (DONE, BLOCKED), self.told_out
        plan = self._next_plan()
        if {(c.address.kind, c.address.key[0] in accountless) for c in plan.changes} == {("waldur.usage", True)}:
            # the usage of an account that was found in this cycle is told by the next one
            assert self.run_once(allowed=CONSENT) in (DONE, BLOCKED), self.told_out
            plan = self._next_plan()
        assert not plan.changes, (plan.changes, self.told_out)
        assert not plan.refusals, plan.refusals
        needed = [f"it needs {c.address}, which is blocked" for c in plan.blocked]
        for change in plan.blocked:
            assert any(words in change.blocked for words in (*EXPLAINED, *needed)), change
        self._as_told({c.address for c in plan.blocked})
        named = self.world.people()
        assert len(named) == len({n.lower() for n in named}) or self.world.doubtful()

    @rule(
        hands=st.lists(BY_HAND, min_size=1, max_size=3),
        moves=st.lists(MOVES, max_size=3),
        fault=st.sampled_from((None, None, *Fault)),
        at=st.integers(0, 5),
    )
    def somebody_is_faster(self, hands: list[int], moves: list[tuple[Any, ...]], fault: Fault | None, at: int) -> None:
        """A second admin changes the cluster while the first one looks at the plan."""
        for what, *details in moves:
            getattr(self, what)(*details)
        self.run_once(fault, at, allowed=CONSENT, meanwhile=hands)

    @rule(allowed=st.sampled_from((frozenset(), CONSENT)), moves=st.lists(MOVES, max_size=3))
    def save_a_plan(self, allowed: frozenset[str], moves: list[tuple[Any, ...]]) -> None:
        for what, *details in moves:
            getattr(self, what)(*details)
        cluster = self.head_node()
        path = self.world.config.reconcile.state_dir / "saved.plan"
        save([cluster.plan(allowed=allowed).plan], path)
        cluster.store.dispose()
        self.saved = Saved(path, self._ends(), frozenset(self.world.jobs()), frozenset(self.world.used()))

    @rule(
        fault=st.sampled_from((None, None, *Fault)),
        at=st.integers(0, 5),
        allowed=st.sampled_from((frozenset(), CONSENT)),
    )
    def apply_what_was_saved(self, fault: Fault | None, at: int, allowed: frozenset[str]) -> None:
        """Minutes or days later, whatever happened since."""
        if self.saved is not None:
            self.run_once(fault, at, allowed=allowed, saved=self.saved)
            self.saved = None
