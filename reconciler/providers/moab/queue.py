"""Running and waiting jobs, from Moab (``showq``) or from TORQUE (``qstat``), whichever is there; both as XML.

Sources: showq(1) ``--xml`` and mjobctl(1) of Moab Workload Manager, qstat(1B) ``-x`` and qdel(1B) of TORQUE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from xml.etree import ElementTree

from reconciler.errors import CommandError, ReadError
from reconciler.providers.base import Jobs
from reconciler.providers.command import Command
from reconciler.providers.ending import complaint, end_jobs
from reconciler.providers.moab import kinds
from reconciler.providers.runner import CommandRunner, Result
from reconciler.state.kinds import is_member
from reconciler.state.model import State
from reconciler.state.names import fold

PROGRAMS = frozenset({"showq", "mjobctl", "qstat", "qdel"})
_COMMANDS = {"showq": ("--xml",), "qstat": ("-x",)}
_CANCEL = {"showq": ("mjobctl", "-c"), "qstat": ("qdel",)}
_ENDED = frozenset({"C", "E"})  # completed, exiting
_MISSING = 127
#: number of a job, its account, its user
Job = tuple[str, str, str]


class Queue:
    """The queue of one cluster. ``word``: the command that shows it, or ``auto``."""

    def __init__(self, runner: CommandRunner, word: str) -> None:
        self._runner, self._word = runner, word

    @property
    def program(self) -> str:
        """The command that shows jobs. Raises :class:`ReadError` where there is none."""
        return self._asked()[0]

    def _asked(self) -> tuple[str, Result | None]:
        """The command that shows jobs, with its answer where it had to be run to find out that it is there."""
        if self._word != "auto":
            return self._word, None
        answers: list[Result] = []

        def first() -> str:
            for program, arguments in _COMMANDS.items():
                with suppress(CommandError):
                    answer = self._runner.run(program, *arguments)
                    if answer.code != _MISSING:
                        answers.append(answer)
                        return program
            raise ReadError(
                "neither showq nor qstat is here, so nobody can tell which jobs run",
                "backend_settings.moab.queue: none lets accounts and members go without a look at jobs.",
            )

        return self._runner.known("queue", first), answers[0] if answers else None

    def jobs(self, state: State) -> Jobs:
        """Numbers of running and waiting jobs by account and user. Raises :class:`ReadError`.

        One without an account is charged to its user's default account, or to any of theirs where MAM knows none.
        """
        program, result = self._asked()
        result = result or self._runner.run(program, *_COMMANDS[program])
        if result.code != 0:
            raise CommandError(f"{result.command}: exit code {result.code}: {result.said}")
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for number, account, user in parsed(result):
            for place in (account,) if account else _places(state, fold(user)):
                found[place, fold(user)].append(number)
        return {key: tuple(numbers) for key, numbers in found.items()}

    def cancelling(self, numbers: Sequence[str]) -> Command:
        """The call that ends jobs of these numbers."""
        program, *words = _CANCEL[self.program]
        listed = (",".join(numbers),) if words else tuple(numbers)
        return Command(program, (*words, *listed), ())

    def cancel(self, state: State, pairs: Collection[tuple[str, str]], *, only: Collection[str] | None = None) -> None:
        """Cancel jobs of (account, user) pairs, or ``only`` these of them, and wait. Raises :class:`CommandError`."""

        def cancelled(numbers: Sequence[str]) -> str:
            call = self.cancelling(numbers)
            result = self._runner.run(call.program, *call.arguments)
            return complaint(result.command, result.code, result.said)

        end_jobs(lambda: self.jobs(state), cancelled, _CANCEL[self.program][0], pairs, only=only)


def _places(state: State, user: str) -> Sequence[str]:
    known = state.get(kinds.USER.at(user))
    default = (known.beside or {}).get("default") if known is not None else None
    if isinstance(default, str) and default:
        return (default,)
    return [a.key[0] for a in state if is_member(a) and a.key[1] == user]


def parsed(result: Result) -> Iterator[Job]:
    """Jobs of an answer in XML. Raises :class:`ReadError` for what is none."""
    if not result.stdout.strip():
        return  # qstat says nothing at all of an empty queue
    try:
        root = ElementTree.fromstring(result.stdout)  # noqa: S314 - what the site's own scheduler prints
    except ElementTree.ParseError as error:
        raise ReadError(f"{result.command}: no XML that can be read: {error}") from None
    for job in root.iter("job"):
        yield _whole(result, job.get("JobID"), job.get("Account"), job.get("User"))
    for job in root.iter("Job"):
        if job.findtext("job_state") not in _ENDED:
            owner = (job.findtext("Job_Owner") or "").partition("@")[0]
            yield _whole(result, job.findtext("Job_Id"), job.findtext("Account_Name"), owner)


def _whole(result: Result, number: str | None, account: str | None, user: str | None) -> Job:
    if not number or not user:
        raise ReadError(f"{result.command}: a job without a number or a user: {number!r} of {user!r}")
    return number, account or "", user
