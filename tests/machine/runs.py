"""One run of reconcile on a world, with a fault and with what others do meanwhile."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from reconciler.cli.apply import cycle, perform, say_interrupted
from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED, Interface
from reconciler.cycle.cluster import Cluster
from reconciler.cycle.scope import Planned
from reconciler.errors import ReconcileError
from reconciler.plan.document import load
from reconciler.plan.model import Plan
from reconciler.plan.select import Mode
from reconciler.state.kinds import Role, on_cluster, role_of
from reconciler.state.model import Address
from reconciler.store import Journal
from reconciler.store.journal import Entry
from tests.machine.promises import Promises, Saved, coordinators, own
from tests.machine.world import CONSENT, Allocation
from tests.memory.faults import Fault, Killed
from tests.rendering import WIDTHS, shown_everywhere

DEAD = -9


class Answering(Interface):
    """Somebody reads the plan, and says yes after a while."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def agreed(self) -> bool:
        """What others do until then."""
        self.meanwhile()
        return True


def saved_cycle(cluster: Cluster, plan: Plan, interface: Interface, allowed: frozenset[str]) -> int:
    """``reconcile apply FILE`` on this cluster, which the command itself would look up in the configuration."""
    cluster.require_fresh(plan)
    say_interrupted(cluster, interface)
    interface.plan(plan)
    left = tuple(r for r in plan.refusals if r.key not in allowed)
    if problem := cluster.remember(refused=True):
        interface.warn(problem)
    if not left:
        cluster.journal.close()
    return perform(cluster, replace(plan, refusals=left), interface, None, saved=True)


class Runs(Promises):
    """Runs, each of them judged."""

    told_out: str  # what the last run said
    seen_entries: int  # of the journal
    plans: int  # that were made

    def by_hand(self, command: str | int) -> None:
        """Somebody's own command, or one of the operator's by number."""
        raise NotImplementedError

    def head_node(self) -> Cluster:
        """The next run. Whatever it plans is shown in every way."""
        cluster = self.world.cluster()
        plan = cluster.plan

        def planned(**asked: Any) -> Planned:
            found = plan(**asked)
            self.plans += 1
            self.plan = found.plan
            width = WIDTHS[self.plans % len(WIDTHS)]
            shown_everywhere(found.plan, cluster.cluster, width, self.world.config.reconcile.state_dir)
            return found

        cluster.plan = planned  # type: ignore[method-assign]
        return cluster

    def run_once(
        self,
        fault: Fault | None = None,
        at: int = 0,
        targets: Iterable[str] = (),
        allowed: frozenset[str] = frozenset(),
        meanwhile: Iterable[str | int] = (),
        saved: Saved | None = None,
    ) -> int:
        """One ``reconcile apply``, with what others do ``meanwhile``; its exit code."""
        before = own(self.world.read())
        jobs, used = self.world.jobs(), self.world.used()
        ends = self._ends()
        ordered = {n for n, a in ends.items() if a.order == "Terminate"}
        planned_from, self.plan = before, None
        heads = {"before": coordinators(self.world.read())}
        cluster = self.head_node()
        alive = cluster.store.writing

        def die() -> None:
            def gone() -> Any:
                raise ReconcileError("this process is gone")

            cluster.store.writing = gone  # type: ignore[method-assign]

        def changed_by_others() -> None:
            nonlocal before
            for command in meanwhile:
                self.by_hand(command)
            before = own(self.world.read())
            heads["before"] = coordinators(self.world.read())

        self.world.faults.on_kill = die
        self.world.faults.arm(fault, at)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), cluster.locked():
                interface = Answering(json_output=self.plans % 2 == 0, no_color=True)
                interface.meanwhile = changed_by_others
                if saved is not None:
                    (self.plan,) = load(saved.path)
                    code = saved_cycle(cluster, self.plan, interface, allowed)
                else:
                    code = cycle(
                        cluster,
                        interface,
                        allowed,
                        targets=tuple(targets),
                        offering="",
                        mode=Mode.ALL,
                        ask=bool(meanwhile),
                        verbose=False,
                    )
        except ReconcileError as error:
            out.write(str(error))
            code = FAILED
        except Killed:
            code = DEAD
        finally:
            self.world.faults.arm(None)
            cluster.store.writing = alive  # type: ignore[method-assign]
        self.told_out = out.getvalue()
        after = own(self.world.read())
        entries = [e for e in self._entries(cluster) if on_cluster(Address.parse(e.address))]
        self._coordinating(heads["before"], after)
        cluster.store.dispose()
        if code == REFUSED:
            assert before == after
            assert not entries
        if code in (DONE, BLOCKED, FAILED):
            assert all(e.outcome for e in entries), entries
        moved = {a for a in before.keys() | after.keys() if before.get(a) != after.get(a)}
        self._as_shown(entries, {a for a in planned_from if planned_from[a] != before.get(a)})
        if saved is not None:
            self._as_saved(saved, before, after, jobs)
            ends = {**saved.ends, **ends}
        self._unmanaged_untouched(before, after, moved, {a.account for a in ends.values()})
        if saved is None:
            self._guarded(before, after, ends, ordered, jobs, used, allowed)
        self._journalled(moved, entries)
        self._replay([e for e in entries if role_of(Address.parse(e.address)) is not Role.RIGHT], after)
        return code

    def _next_plan(self) -> Plan:
        """What another run would do."""
        cluster = self.head_node()
        plan = cluster.plan(allowed=CONSENT).plan
        cluster.store.dispose()
        return plan

    def _ends(self) -> dict[str, Allocation]:
        """Resources that have ended, or are to."""
        return {n: a for n in self.ever if (a := self.world.allocation(n)) is not None and a.ends}

    def _entries(self, cluster: Cluster) -> list[Entry]:
        """What the journal holds since the last look."""
        found = Journal(cluster.store, cluster.label).entries()
        new, self.seen_entries = found[self.seen_entries :], len(found)
        return new
