"""Rules: the portal, the cluster and the head node move."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from reconciler.plan.model import Plan
from reconciler.state.model import Address
from tests.machine.moves import BY_HAND, NAME, NONSENSE, PROJECT
from tests.machine.promises import Saved, own
from tests.machine.runs import Runs
from tests.machine.world import KNOWN, NAMES, NEWCOMERS, PEOPLE, STRANGERS, Allocation, World, account_of


class Edits(Runs, RuleBasedStateMachine):
    """Both sides move."""

    saved: Saved | None

    def make(self) -> World:
        """Where to run."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make()
        self.ever: dict[str, Allocation] = {}
        self.told_out = ""
        self.replayed: dict[Address, dict[str, Any]] = own(self.world.read())
        self.seen_entries = 0
        self.plans = 0
        self.plan: Plan | None = None
        self.saved: Saved | None = None

    def teardown(self) -> None:
        self.world.close()

    # ------------------------------------------------------------------ the portal moves

    def _here(self, name: str) -> Allocation | None:
        """A resource on which nothing is underway."""
        found = self.world.allocation(name)
        return found if found is not None and not found.order else None

    @rule(name=NAME, project=PROJECT, limit=st.integers(0, 5), ordered=st.booleans())
    def add(self, name: str, project: str, limit: int, ordered: bool) -> None:
        if name in self.world.names and self.world.allocation(name) is None:
            self.world.add(name, project, limit, ordered=ordered)
            self.ever[name] = Allocation(name, project)

    @rule(name=NAME, nonsense=st.sampled_from(NONSENSE))
    def spoil(self, name: str, nonsense: object) -> None:
        """Waldur has an amount that is none."""
        if self._here(name) is not None:
            self.world.edit(name, limits={self.world.component(name)[0]: nonsense})

    @rule(name=NAME, limit=st.integers(1, 5))
    def mend(self, name: str, limit: int) -> None:
        """Somebody writes a number."""
        found = self._here(name)
        if found is not None and found.limit is None:
            self.world.edit(name, limits={self.world.component(name)[0]: limit})

    @rule(name=NAME, flag=st.sampled_from(("paused", "downscaled", "restrict")), on=st.booleans())
    def flag(self, name: str, flag: str, on: bool) -> None:
        if self.world.allocation(name) is not None:
            self.world.edit(name, **{"restrict_member_access" if flag == "restrict" else flag: on})

    @rule(name=NAME, limit=st.integers(0, 9))
    def order_other_limits(self, name: str, limit: int) -> None:
        found = self._here(name)
        if found is not None and found.state == "OK":
            self.world.order(name, "Update", limit)

    @rule(name=NAME)
    def order_the_end(self, name: str) -> None:
        found = self._here(name)
        if found is not None and found.state in ("OK", "Erred"):
            self.world.order(name, "Terminate")

    @rule(name=NAME)
    def order_it_back(self, name: str) -> None:
        found = self._here(name)
        if found is not None and found.state == "Terminated":
            self.world.order(name, "Restore")

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1))
    def end_without_an_order(self, names: set[str]) -> None:
        for name in sorted(names):
            found = self._here(name)
            if found is not None and found.state in ("OK", "Erred"):
                self.world.edit(name, state="Terminated")

    @rule(person=st.sampled_from(PEOPLE), project=PROJECT)
    def enter(self, person: str, project: str) -> None:
        self.world.enter(person, project)

    @rule(people=st.sets(st.sampled_from(PEOPLE), min_size=1), project=PROJECT)
    def leave(self, people: set[str], project: str) -> None:
        for person in sorted(people):
            self.world.leave(person, project)

    @rule(person=st.sampled_from(PEOPLE), restricted=st.booleans())
    def restrict(self, person: str, restricted: bool) -> None:
        self.world.restrict(person, restricted)

    @rule(person=st.sampled_from(PEOPLE), there=st.booleans())
    def namesake(self, person: str, there: bool) -> None:
        self.world.namesake(person, there)

    @rule(person=st.sampled_from(sorted(NEWCOMERS)), project=PROJECT)
    def newcomer(self, person: str, project: str) -> None:
        if self.world.newcomer(person):
            self.world.enter(person, project)

    @rule(person=st.sampled_from(sorted(KNOWN)), knows=st.booleans())
    def host(self, person: str, knows: bool) -> None:
        if person in self.world.people():
            self.world.host(person, knows)

    # ------------------------------------------------------------------ the cluster moves

    @rule(command=BY_HAND)
    def by_hand(self, command: str | int) -> None:
        before = own(self.world.read())
        self.world.operate(command if isinstance(command, str) else self.world.product.hand(command))
        after = own(self.world.read())
        self._adopt(after, {a for a in before.keys() | after.keys() if before.get(a) != after.get(a)})

    @rule(person=st.sampled_from(sorted(KNOWN)), what=st.sampled_from(("opened", "gone", "stolen")))
    def home_by_hand(self, person: str, what: str) -> None:
        self.world.home_by_hand(person, what)

    @rule(place=st.sampled_from(NAMES), person=st.sampled_from((*PEOPLE, *NEWCOMERS.values(), *STRANGERS)))
    def work(self, place: str, person: str) -> None:
        key = (account_of(place), person)
        if self.shape.member_at(*key) in self.world.read():
            self.world.work(*key)

    @rule(place=st.sampled_from(NAMES))
    def use(self, place: str) -> None:
        self.world.use(account_of(place))

    # ------------------------------------------------------------------ the head node moves

    @rule()
    def forget(self) -> None:
        """The database is deleted: it was memory, never truth."""
        for path in self.world.config.reconcile.state_dir.glob("reconcile.sqlite3*"):
            path.unlink()
        self.seen_entries = 0
