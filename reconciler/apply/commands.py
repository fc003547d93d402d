"""The cluster's part of an apply: commands in order, what fails by name, and belief only in the next read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler.apply.record import Record, mismatch
from reconciler.errors import CommandError, ReadError, ReconcileError, StoppedError
from reconciler.plan.model import Plan
from reconciler.plan.order import steps
from reconciler.providers.base import Cluster, Reading, Verdict
from reconciler.providers.command import Command, Once
from reconciler.state.diff import Action, Change, same, values_of
from reconciler.state.kinds import Role, is_account, on_cluster
from reconciler.state.model import State
from reconciler.state.tree import Tree, above, burdens


class ClusterWriter:
    """Makes what a plan wants made on one cluster. ``only_shown``: no jobs are ended but those that it showed."""

    def __init__(self, cluster: Cluster, record: Record, reading: Reading, *, only_shown: bool = False) -> None:
        self.cluster = cluster
        self.record = record
        self._reading, self._only_shown = reading, only_shown
        self._outage = ""
        self._stopped = ""

    def write(self, plan: Plan) -> None:
        """Run the commands, read again, and judge each object."""
        wanted = self.record.without_orders([c for c in plan.changes if on_cluster(c.address)])
        changes = self._bearing(self.record.ready(wanted))
        changes = self.record.ready(changes)
        if not changes:
            return
        self._cancel_jobs(plan, changes)
        for group in self._groups(self.record.ready(changes), plan.cluster, self._reading.state):
            if isinstance(group, Command):
                self._run_all([group])
                continue
            ready = self.record.ready(group)
            if any(c.action is Action.DELETE and _carries(c) for c in ready):
                ready = self._unburdened(ready)
            self._run_all(self.cluster.commands(ready, plan.cluster))
        self._settle(changes, plan.cluster)

    def _bearing(self, changes: Sequence[Change]) -> list[Change]:
        """Without accounts that are made for others below them, none of which is made."""
        made = [c for c in changes if c.action is Action.CREATE and is_account(c.address)]
        planned = [c for c in self.record.plan.changes if c.action is Action.CREATE and is_account(c.address)]
        bearers = {_parent(c) for c in planned}
        while True:
            used = {_parent(c) for c in made}
            idle = [c for c in made if c.address.key[0] in bearers - used]
            if not idle:
                return list(changes)
            for change in idle:
                below = [c for c in planned if _parent(c) == change.address.key[0]]
                overtaken = all(c.address in self.record.outcome.left for c in below)
                (self.record.leave if overtaken else self.record.fail)(change, "not tried: nothing below it is made")
            made = [c for c in made if c not in idle]

    def _groups(self, changes: Sequence[Change], cluster: str, actual: State) -> Iterable[Command | list[Change]]:
        """Steps, where many creations at once become a single call."""
        bulk = self.cluster.bulk(changes, actual, cluster)
        if bulk is None:
            return steps(changes, actual)
        return [*steps(bulk.before, actual), bulk.command, *steps(bulk.after, actual)]

    # ------------------------------------------------------------------ commands

    def _run_all(self, commands: Sequence[Command]) -> None:
        parallel = [c for c in commands if c.parallel]
        width = self.cluster.width
        for command in commands:
            if not command.parallel:
                self._run(command)
        if len(parallel) > 1 and width > 1:
            with ThreadPoolExecutor(max_workers=width) as pool:
                list(pool.map(self._run, parallel))
        else:
            for command in parallel:
                self._run(command)

    def _run(self, command: Command) -> None:
        concerned = [self.record.by_address[a] for a in command.addresses]
        if command.once and any(c.address in self.record.outcome.failures for c in concerned):
            return  # what came before it did not go well
        try:
            if not (self._outage or self._stopped):
                self.record.begin(concerned, " ".join((command.program, *command.arguments)))
        except StoppedError as error:
            self._stopped = error.message
        except ReconcileError as error:
            self._outage = error.message
        if self._stopped:
            self.record.stop(concerned, self._stopped)
            return
        if self._outage:
            for change in concerned:
                self.record.fail(change, f"not tried after an outage: {self._outage}")
            return
        found = self._try(command, concerned)
        if found.problem and command.alternative and not self._outage:
            # one by one, so that each failure has a name
            for single in command.alternative:
                self._run(single)
            return
        for change in concerned:
            if found.problem:
                alone = len(concerned) == 1 and not self._outage
                final = alone and change.action is not Action.DELETE and found.final
                self.record.fail(change, found.problem, final=final)
            else:
                self.record.progress(change)

    def _try(self, command: Command, concerned: Sequence[Change]) -> Verdict:
        """Run a command, and what its answer means."""
        arguments: tuple[str, ...] | None = command.arguments
        try:
            arguments = command.once.before() if command.once else arguments
        except ReconcileError as error:
            return Verdict(f"not tried: {error.message}")
        if arguments is None:
            return Verdict()
        try:
            result = self.cluster.runner.run(command.program, *arguments, stdin=command.stdin)
        except CommandError as error:
            self._outage = error.message
            return Verdict(str(error))
        found = self.cluster.verdict(result)
        if found.outage:
            self._outage = found.problem
        if command.once is None or found.problem:
            return found
        return self._proved(command.once, concerned)

    def _proved(self, once: Once, concerned: Sequence[Change]) -> Verdict:
        """Whether a call that must not be made twice did what it should."""
        try:
            once.after()
        except ReadError as error:
            return Verdict(f"not confirmed: {error.message}")
        except ReconcileError as error:
            self.record.disprove(concerned)
            return Verdict(error.message)
        return Verdict()

    def _unburdened(self, changes: Sequence[Change]) -> list[Change]:
        """Accounts that may go now: a cluster takes along whatever hangs on them, so it is looked at once more."""
        try:
            now = self.cluster.read().state
        except ReconcileError as error:
            for change in changes:
                self.record.fail(change, f"not tried, the cluster could not be read: {error.message}")
            return []
        burden, members = burdens((), now), Tree(now).members
        ready = []
        for change in changes:
            name = change.address.key[0]
            if is_account(change.address):
                left = burden.get(name)
            else:  # what an account may use goes when nobody is left who uses it
                left = next(iter(members.get(name, ())), None) if _carries(change) else None
            if left is None:
                ready.append(change)
            else:
                self.record.fail(change, f"not tried: {left} is still there and would go along")
        return ready

    def _cancel_jobs(self, plan: Plan, changes: Sequence[Change]) -> None:
        """Cancel the jobs that the plan showed, of users who lose an association, and wait for their end."""
        losing = [c for c in changes if c.jobs and c.action is Action.DELETE]
        # an account's own: jobs on it that fit none of its members
        pairs = {(c.address.key[0], (*c.address.key, "")[1]): c for c in losing}
        if not pairs or not plan.cancels_jobs:
            return
        shown = sorted({number for change in pairs.values() for number in change.jobs})
        call = self.cluster.cancelling(shown, plan.cluster, remote=False)
        try:
            self.record.begin(list(pairs.values()), " ".join((call.program, *call.arguments)))
        except ReconcileError as error:
            for change in pairs.values():
                self.record.fail(change, f"not tried: {error.message}")
            return
        try:
            self.cluster.cancel(self._reading, pairs.keys(), only=shown if self._only_shown else None)
        except ReconcileError as error:
            try:
                busy = set(self.cluster.jobs(self._reading))
            except ReconcileError:
                busy = set(pairs)
            for key, change in pairs.items():
                if key in busy:
                    self.record.fail(change, f"its jobs could not be cancelled: {error.message}")

    # ------------------------------------------------------------------ the proof

    def _settle(self, changes: Sequence[Change], cluster: str) -> None:
        """Success is what the next read shows, whatever the exit codes were.

        What is not as it should be although nothing complained is set once more, object by object: a record
        that outlived its account keeps its old texts, a batch may skip what it does not like.
        """
        actual = self._read(changes)
        if actual is None:
            return
        wrong = {c.address: mismatch(c, actual) for c in changes}
        failures = self.record.outcome.failures
        again = [r for c in changes if wrong[c.address] and c.address not in failures for r in residue(c, actual)]
        if again and not (self._outage or self._stopped):
            for step in steps(again, actual):
                # what must not be made twice is left to the next cycle, which sees what there is
                for command in (c for c in self.cluster.commands(step, cluster) if c.once is None):
                    for single in command.alternative or (command,):
                        self._run(single)
            actual = self._read(changes)
            if actual is None:
                return
            wrong = {c.address: mismatch(c, actual) for c in changes}
        for change in changes:
            self.record.judge(change, wrong[change.address])

    def _read(self, changes: Sequence[Change]) -> State | None:
        return self.record.read_again(
            changes, lambda: self.cluster.read().state, ", the cluster could not be read again"
        )


def residue(change: Change, actual: State) -> list[Change]:
    """What is left of a change that was made: the fields that still differ, as a change of their own."""
    present = actual.get(change.address)
    if change.action is Action.DELETE or present is None:
        return []
    values = values_of(present)
    after = change.after or {}
    rest = {n: after[n] for n in change.changed() if not same(change.address, n, after[n], values.get(n))}
    return [replace(change, action=Action.UPDATE, before=values, after={**values, **rest})]


def _carries(change: Change) -> bool:
    """Whether others are lost with it, or lose by it."""
    return change.kind.role in (Role.ACCOUNT, Role.BUDGET)


def _parent(change: Change) -> str:
    return above(change.address.kind, change.after)
