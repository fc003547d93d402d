"""The executor: runs a plan's commands in order, names what fails, and believes only the next read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reconciler.errors import CommandError, ReconcileError
from reconciler.plan import Plan, steps
from reconciler.providers.command import Command
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm import jobs, load, write
from reconciler.state.diff import Action, Change, equal, values_of
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, State, json_value

# what sacctmgr says when there was nothing left to do; the read afterwards tells whether that is true
_NOTHING = ("nothing new added", "nothing modified", "nothing deleted")
# said with exit code 0, and nothing done
_REFUSED = ("don't have access to their default qos",)
# no use in trying the next command: whoever answers for all of them is gone
_OUTAGE = (
    "connection refused",
    "failed to open persistent connection",
    "unable to connect to database",
    "munge encode failed",
    "access/permission denied",
)


class Event(StrEnum):
    """What happens during an apply, in the words of Terraform's event stream."""

    START = "apply_start"
    PROGRESS = "apply_progress"
    COMPLETE = "apply_complete"
    ERRORED = "apply_errored"


Listener = Callable[[Event, Change, float, str], None]


@dataclass
class Outcome:
    """What an apply did. ``failures``: why, by address; ``done``: seconds by address."""

    done: dict[Address, float] = field(default_factory=dict)
    failures: dict[Address, str] = field(default_factory=dict)
    applied: list[Change] = field(default_factory=list)

    def count(self, action: Action) -> int:
        """Changes of this action that the read afterwards confirmed."""
        return sum(c.action is action for c in self.applied)


class Executor:
    """Applies plans to one SLURM cluster."""

    def __init__(self, runner: CommandRunner, read: Callable[[], State], listener: Listener | None = None) -> None:
        self.runner = runner
        self.read = read
        self.listener = listener or (lambda event, change, seconds, text: None)
        self._started: dict[Address, float] = {}
        self._outage = ""

    def apply(self, plan: Plan, actual: State) -> Outcome:
        """Run the plan, read again, and report per object. ``actual`` is the state it was made from."""
        outcome = Outcome()
        by_address = {c.address: c for c in plan.changes}
        self._cancel_jobs(plan, outcome)
        for group in self._groups(plan, actual):
            if isinstance(group, Command):
                self._run_all([group], by_address, outcome)
                continue
            ready = [c for c in group if not self._skip(c, by_address, outcome)]
            if any(c.action is Action.DELETE and c.address.kind == "slurm.account" for c in ready):
                ready = self._unburdened(ready, outcome)
            self._run_all(write.commands(ready, plan.cluster), by_address, outcome)
        self._settle(plan, by_address, outcome)
        return outcome

    def _groups(self, plan: Plan, actual: State) -> Iterable[Command | list[Change]]:
        """Steps, where many creations at once become a single ``load``."""
        loads = [c for c in plan.changes if load.loadable(c)]
        if len(loads) < load.LOAD_FROM or self.runner.settings.emulator:
            return steps(plan.changes, actual)
        created = [c for c in plan.changes if c.address.kind == "slurm.qos"]
        rest = [c for c in plan.changes if not load.loadable(c) and c.address.kind != "slurm.qos"]
        bulk = load.load_command(loads, actual, plan.cluster)
        return [*steps(created, actual), bulk, *steps(rest, actual)]

    def _skip(self, change: Change, by_address: Mapping[Address, Change], outcome: Outcome) -> bool:
        """Leave out what depends on something that failed, by name."""
        needs = (
            KINDS[change.address.kind].depends(change.address.key, change.after or {})
            if change.action is not Action.DELETE
            else ()
        )
        if change.address in outcome.failures:
            return True
        failed = next((n for n in needs if n in outcome.failures and n in by_address), None)
        if failed is not None:
            self._fail(change, f"not tried: it depends on {failed}", outcome)
        return failed is not None

    # ------------------------------------------------------------------ commands

    def _run_all(self, commands: Sequence[Command], by_address: Mapping[Address, Change], outcome: Outcome) -> None:
        parallel = [c for c in commands if c.parallel]
        width = 1 if self.runner.settings.emulator else self.runner.settings.parallel
        for command in commands:
            if not command.parallel:
                self._run(command, by_address, outcome)
        if len(parallel) > 1 and width > 1:
            with ThreadPoolExecutor(max_workers=width) as pool:
                list(pool.map(lambda c: self._run(c, by_address, outcome), parallel))
        else:
            for command in parallel:
                self._run(command, by_address, outcome)

    def _run(self, command: Command, by_address: Mapping[Address, Change], outcome: Outcome) -> None:
        if self._outage:
            for address in command.addresses:
                self._fail(by_address[address], f"not tried after an outage: {self._outage}", outcome)
            return
        began = time.monotonic()
        for address in command.addresses:
            if address not in self._started:
                self._started[address] = began
                self.listener(Event.START, by_address[address], 0.0, "")
        problem = self._try(command)
        if problem and command.alternative and not self._outage:
            # one by one, so that each failure has a name
            for single in command.alternative:
                self._run(single, by_address, outcome)
            return
        for address in command.addresses:
            if problem:
                self._fail(by_address[address], problem, outcome)
            else:
                outcome.done[address] = self._seconds(by_address[address])
                self.listener(Event.PROGRESS, by_address[address], outcome.done[address], "")

    def _try(self, command: Command) -> str:
        """Run a command; what went wrong, or nothing."""
        try:
            result = self.runner.run(command.program, *command.arguments, stdin=command.stdin)
        except CommandError as error:
            self._outage = error.message
            return str(error)
        problem = _problem(result)
        if problem and any(sign in result.said.lower() for sign in _OUTAGE):
            self._outage = problem
        return problem

    def _fail(self, change: Change, text: str, outcome: Outcome) -> None:
        outcome.failures[change.address] = text
        outcome.done.pop(change.address, None)
        self.listener(Event.ERRORED, change, self._seconds(change), text)

    def _seconds(self, change: Change) -> float:
        return time.monotonic() - self._started.get(change.address, time.monotonic())

    def _unburdened(self, changes: Sequence[Change], outcome: Outcome) -> list[Change]:
        """Accounts that may go now: SLURM takes along whatever hangs on them, so it is looked at once more."""
        try:
            now = self.read()
        except ReconcileError as error:
            for change in changes:
                self._fail(change, f"not tried, the cluster could not be read: {error.message}", outcome)
            return []
        burden: dict[str, Address] = {}
        for address, obj in now.items():
            if address.kind == "slurm.association":
                burden.setdefault(address.key[0], address)
            elif address.kind == "slurm.account":
                burden.setdefault(str(obj.values.get("parent") or ""), address)
        ready = []
        for change in changes:
            left = burden.get(change.address.key[0]) if change.address.kind == "slurm.account" else None
            if left is None:
                ready.append(change)
            else:
                self._fail(change, f"not tried: {left} is still there and would go along", outcome)
        return ready

    def _cancel_jobs(self, plan: Plan, outcome: Outcome) -> None:
        """Cancel the jobs that the plan showed, of users who lose an association, and wait for their end."""
        pairs = {c.address.key: c for c in plan.changes if c.jobs and c.action is Action.DELETE}
        if not pairs or not plan.cancels_jobs:
            return
        wanted = [(key[0], key[1]) for key in pairs]
        try:
            jobs.cancel(self.runner, plan.cluster, wanted)
        except ReconcileError as error:
            try:
                busy: set[tuple[str, ...]] = set(jobs.active_jobs(self.runner, plan.cluster))
            except ReconcileError:
                busy = set(pairs)
            for key, change in pairs.items():
                if key in busy:
                    self._fail(change, f"its jobs could not be cancelled: {error.message}", outcome)

    # ------------------------------------------------------------------ the proof

    def _settle(self, plan: Plan, by_address: Mapping[Address, Change], outcome: Outcome) -> None:
        """Success is what the next read shows, whatever the exit codes were.

        What is not as it should be although nothing complained is set once more, object by object: a record
        that outlived its account keeps its old texts, a batch may skip what it does not like.
        """
        actual = self._read(plan.changes, outcome)
        if actual is None:
            return
        again = [r for c in plan.changes if c.address not in outcome.failures for r in residue(c, actual)]
        if again and not self._outage:
            for step in steps(again, actual):
                for command in write.commands(step, plan.cluster):
                    for single in command.alternative or (command,):
                        self._run(single, by_address, outcome)
            actual = self._read(plan.changes, outcome)
            if actual is None:
                return
        for change in plan.changes:
            wrong = mismatch(change, actual)
            if not wrong:
                # an error text about something that is as it should be is no error
                outcome.failures.pop(change.address, None)
                outcome.applied.append(change)
                self.listener(Event.COMPLETE, change, outcome.done.get(change.address, 0.0), "")
            elif change.address not in outcome.failures:
                self._fail(change, wrong, outcome)

    def _read(self, changes: Sequence[Change], outcome: Outcome) -> State | None:
        try:
            return self.read()
        except ReconcileError as error:
            why = f"not confirmed, the cluster could not be read again: {error.message}"
            for change in changes:
                if change.address not in outcome.failures:
                    self._fail(change, why, outcome)
            return None


def residue(change: Change, actual: State) -> list[Change]:
    """What is left of a change that was made: the fields that still differ, as a change of their own."""
    present = actual.get(change.address)
    if change.action is Action.DELETE or present is None or not mismatch(change, actual):
        return []
    values = values_of(present)
    after = change.after or {}
    rest = {n: after[n] for n in change.changed() if not equal(n, values.get(n), after[n])}
    return [replace(change, action=Action.UPDATE, before=values, after={**values, **rest})]


def _problem(result: Result) -> str:
    said = result.said
    if result.code == 0 and not any(sign in said for sign in _REFUSED):
        return ""
    if any(n in said.lower() for n in _NOTHING) and "error" not in said.lower():
        return ""
    command = result.command if len(result.command) <= 300 else result.command[:300] + "…"
    return f"{command}: exit code {result.code}: {said}"


def mismatch(change: Change, actual: State) -> str:
    """How the cluster still differs from what a change should have made, or nothing."""
    present = actual.get(change.address)
    if change.action is Action.DELETE:
        return "still there after its removal" if present is not None else ""
    if present is None:
        return "not there after its creation" if change.action is Action.CREATE else "vanished meanwhile"
    values = values_of(present)
    after = change.after or {}
    wrong = [
        f"{name} is {json_value(values.get(name))!r} instead of {json_value(after[name])!r}"
        for name in change.changed()
        if not equal(name, values.get(name), after[name])
    ]
    return f"still differs after the change: {'; '.join(wrong)}" if wrong else ""
