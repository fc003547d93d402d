"""The executor: runs a plan's commands in order, names what fails, and believes only the next read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from reconciler import homes
from reconciler.errors import CommandError, ReconcileError, StoppedError
from reconciler.fulfilment import Fulfilment
from reconciler.outcome import Listener, Outcome, Record, mismatch
from reconciler.plan import Plan, steps
from reconciler.providers.command import Command
from reconciler.providers.portal import Portal
from reconciler.providers.runner import CommandRunner, Result
from reconciler.providers.slurm import jobs, load, write
from reconciler.state.diff import Action, Change, equal, values_of
from reconciler.state.kinds import on_cluster
from reconciler.state.model import Address, State
from reconciler.store.journal import Run

# what sacctmgr says when there was nothing left to do; the read afterwards tells whether that is true
_NOTHING = ("nothing new added", "nothing modified", "nothing deleted")
# said with exit code 0, and nothing done
_REFUSED = ("don't have access to their default qos",)
# refusals of what was asked for; all else (signals, ssh, docker, a busy database) may be gone the next time
_FINAL = ("invalid", "unknown option", "unrecognized", "unable to parse", "bad value", "too long", "not a valid")
# no use in trying the next command: whoever answers for all of them is gone
_OUTAGE = (
    "connection refused",
    "failed to open persistent connection",
    "unable to connect to database",
    "munge encode failed",
    "access/permission denied",
)


class Executor:
    """Applies plans to one SLURM cluster."""

    def __init__(
        self,
        runner: CommandRunner,
        read: Callable[[], State],
        listener: Listener | None = None,
        portals: Mapping[str, Portal] | None = None,
        run: Run | None = None,
    ) -> None:
        self.runner = runner
        self.read = read
        self.listener = listener
        self.portals = portals or {}
        self.journal_run = run
        self._outage = ""
        self._stopped = ""

    def apply(self, plan: Plan, actual: State) -> Outcome:
        """Run the plan, read again, and report per object. ``actual`` is the state it was made from."""
        self.record = Record(plan, self.listener, self.journal_run)
        portal = Fulfilment(self.portals, self.record)
        portal.before_cluster()
        self._cluster(plan, actual)
        homes.write(self.runner, self.record)
        portal.after_cluster()
        return self.record.outcome

    def _cluster(self, plan: Plan, actual: State) -> None:
        wanted = self.record.without_orders([c for c in plan.changes if on_cluster(c.address)])
        changes = self._bearing(self.record.ready(wanted))
        if not changes:
            return
        self._cancel_jobs(replace(plan, changes=tuple(changes)))
        for group in self._groups(self.record.ready(changes), plan.cluster, actual):
            if isinstance(group, Command):
                self._run_all([group])
                continue
            ready = self.record.ready(group)
            if any(c.action is Action.DELETE and c.address.kind == "slurm.account" for c in ready):
                ready = self._unburdened(ready)
            self._run_all(write.commands(ready, plan.cluster))
        self._settle(changes, plan.cluster)

    def _bearing(self, changes: Sequence[Change]) -> list[Change]:
        """Without accounts that are made for others below them, none of which is made."""
        made = [c for c in changes if c.action is Action.CREATE and c.address.kind == "slurm.account"]
        planned = [c for c in self.record.plan.changes if c.action is Action.CREATE]
        bearers = {str((c.after or {}).get("parent")) for c in planned if c.address.kind == "slurm.account"}
        while True:
            used = {str((c.after or {}).get("parent")) for c in made}
            idle = [c for c in made if c.address.key[0] in bearers - used]
            if not idle:
                return self.record.ready(changes)
            for change in idle:
                below = [c for c in planned if (c.after or {}).get("parent") == change.address.key[0]]
                overtaken = all(c.address in self.record.outcome.left for c in below)
                (self.record.leave if overtaken else self.record.fail)(change, "not tried: nothing below it is made")
            made = [c for c in made if c not in idle]

    def _groups(self, changes: Sequence[Change], cluster: str, actual: State) -> Iterable[Command | list[Change]]:
        """Steps, where many creations at once become a single ``load``."""
        loads = [c for c in changes if load.loadable(c)]
        if len(loads) < load.LOAD_FROM or self.runner.settings.emulator:
            return steps(changes, actual)
        created = [c for c in changes if c.address.kind == "slurm.qos"]
        rest = [c for c in changes if not load.loadable(c) and c.address.kind != "slurm.qos"]
        bulk = load.load_command(loads, actual, cluster)
        return [*steps(created, actual), bulk, *steps(rest, actual)]

    # ------------------------------------------------------------------ commands

    def _run_all(self, commands: Sequence[Command]) -> None:
        parallel = [c for c in commands if c.parallel]
        width = 1 if self.runner.settings.emulator else self.runner.settings.parallel
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
        problem = self._try(command)
        if problem and command.alternative and not self._outage:
            # one by one, so that each failure has a name
            for single in command.alternative:
                self._run(single)
            return
        for change in concerned:
            if problem:
                alone = len(concerned) == 1 and not self._outage
                final = alone and change.action is not Action.DELETE and _final(problem)
                self.record.fail(change, problem, final=final)
            else:
                self.record.progress(change)

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

    def _unburdened(self, changes: Sequence[Change]) -> list[Change]:
        """Accounts that may go now: SLURM takes along whatever hangs on them, so it is looked at once more."""
        try:
            now = self.read()
        except ReconcileError as error:
            for change in changes:
                self.record.fail(change, f"not tried, the cluster could not be read: {error.message}")
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
                self.record.fail(change, f"not tried: {left} is still there and would go along")
        return ready

    def _cancel_jobs(self, plan: Plan) -> None:
        """Cancel the jobs that the plan showed, of users who lose an association, and wait for their end."""
        pairs = {c.address.key: c for c in plan.changes if c.jobs and c.action is Action.DELETE}
        if not pairs or not plan.cancels_jobs:
            return
        wanted = [(key[0], key[1]) for key in pairs]
        try:
            self.record.begin(list(pairs.values()), f"scancel of {sum(c.jobs for c in pairs.values())} jobs")
        except ReconcileError as error:
            for change in pairs.values():
                self.record.fail(change, f"not tried: {error.message}")
            return
        try:
            jobs.cancel(self.runner, plan.cluster, wanted)
        except ReconcileError as error:
            try:
                busy: set[tuple[str, ...]] = set(jobs.active_jobs(self.runner, plan.cluster))
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
        failures = self.record.outcome.failures
        actual = self._read(changes)
        if actual is None:
            return
        again = [r for c in changes if c.address not in failures for r in residue(c, actual)]
        if again and not (self._outage or self._stopped):
            for step in steps(again, actual):
                for command in write.commands(step, cluster):
                    for single in command.alternative or (command,):
                        self._run(single)
            actual = self._read(changes)
            if actual is None:
                return
        for change in changes:
            self.record.judge(change, mismatch(change, actual))

    def _read(self, changes: Sequence[Change]) -> State | None:
        try:
            return self.read()
        except ReconcileError as error:
            why = f"not confirmed, the cluster could not be read again: {error.message}"
            for change in changes:
                if change.address not in self.record.outcome.failures:
                    self.record.fail(change, why)
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


def _final(problem: str) -> bool:
    """Whether sacctmgr itself refused what it was asked for, so that asking again is no use."""
    text = problem.lower()
    return ": exit code 1:" in text and any(sign in text for sign in _FINAL)


def _problem(result: Result) -> str:
    said = result.said
    if result.code == 0 and not any(sign in said for sign in _REFUSED):
        return ""
    if any(n in said.lower() for n in _NOTHING) and "error" not in said.lower():
        return ""
    command = result.command if len(result.command) <= 300 else result.command[:300] + "…"
    return f"{command}: exit code {result.code}: {said}"
