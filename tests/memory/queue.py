"""Jobs in memory: what squeue, sacct and scontrol print of them, in whatever columns they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime

NOW = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())
_QUEUED = ("PENDING", "RUNNING", "SUSPENDED")
_WINDOW = re.compile(r"now-(\d+)(seconds|hours|days)")
_UNITS = {"seconds": 1, "hours": 3600, "days": 86400}
_VALUED = ("-S", "-E", "-A", "-M", "-o", "-u", "-O", "-t")


@dataclass
class Job:
    """A job as slurmdbd has it; a ``runaway`` is one whose end it was never told."""

    number: int
    account: str
    user: str
    uid: int
    seconds: int = 0
    state: str = "RUNNING"
    tres: str = "billing=1,cpu=1,mem=100M,node=1"
    runaway: bool = False
    association: int = 0

    @property
    def queued(self) -> bool:
        """Whether slurmctld has it."""
        return self.state in _QUEUED and not self.runaway


def options(words: Sequence[str]) -> tuple[set[str], dict[str, str], list[str]]:
    """Flags (single letters), options with a value, and what is left."""
    flags: set[str] = set()
    valued: dict[str, str] = {}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word in _VALUED:
            valued[word] = next(left)
        elif word.startswith("--"):
            name, _, value = word.partition("=")
            valued[name] = value
        elif word.startswith("-"):
            flags |= set(word[1:])
        else:
            rest.append(word)
    return flags, valued, rest


#: what squeue prints for a letter of -o, and the heading
_LETTERS: dict[str, tuple[str, Callable[[Job, AbstractSet[str]], str]]] = {
    "i": ("JOBID", lambda j, _: str(j.number)),
    "A": ("JOBID", lambda j, _: str(j.number)),
    "a": ("ACCOUNT", lambda j, _: j.account),
    "#": ("ASSOCID", lambda j, _: str(j.association)),
    "U": ("UID", lambda j, _: str(j.uid)),
    "u": ("USER", lambda j, strangers: "nobody" if j.user in strangers else j.user),
    "T": ("STATE", lambda j, _: j.state),
    "P": ("PARTITION", lambda j, _: "main"),
    "j": ("NAME", lambda j, _: "wrap"),
    "q": ("QOS", lambda j, _: "normal"),
    "M": ("TIME", lambda j, _: f"{j.seconds // 60}:{j.seconds % 60:02d}"),
    "e": ("END_TIME", lambda j, _: "N/A"),
}
_FIELDS = {
    "JobID": "i",
    "JobArrayID": "i",
    "AssocID": "#",
    "Account": "a",
    "UserID": "U",
    "UserName": "u",
    "State": "T",
}
_FIELD = re.compile(r"(\w+)(?::\.?(\d*)(.*))?")


def squeue(jobs: Iterable[Job], words: Sequence[str], strangers: AbstractSet[str]) -> str:
    """The queue; who is a stranger to this host is ``nobody``."""
    flags, valued, _ = options(words)
    # a letter, how wide it is, and what follows it
    if "-O" in valued:
        fields = [m for f in valued["-O"].split(",") if (m := _FIELD.fullmatch(f))]
        columns = [(_FIELDS[m[1]], int(m[2] or 0), m[3] or "") for m in fields]
    else:
        columns = [(m[1], 0, m[2]) for m in re.finditer(r"%(\w)([^%]*)", valued["-o"])]

    def line(cell: Callable[[str], str]) -> str:
        return "".join(f"{cell(letter):<{width}}{end}" for letter, width, end in columns) + "\n"

    text = "" if "h" in flags else line(lambda letter: _LETTERS[letter][0])
    for job in jobs:
        text += line(lambda letter, job=job: _LETTERS[letter][1](job, strangers))  # type: ignore[misc]
    return text


def chosen(jobs: Iterable[Job], words: Sequence[str], strangers: AbstractSet[str]) -> list[Job]:
    """What scancel would end: jobs by number, or by account and user, whose name the host has to know."""
    _, valued, numbers = options(words)
    if numbers:
        return [j for j in jobs if str(j.number) in numbers]
    account, user = valued.get("-A"), valued.get("-u")
    assert account or user, words
    assert user not in strangers, f"scancel: error: Invalid user name: {user}"
    return [j for j in jobs if account in (None, j.account) and user in (None, j.user)]


_COLUMNS: dict[str, Callable[[Job], str]] = {
    "JobID": lambda j: str(j.number),
    "JobIDRaw": lambda j: str(j.number),
    "Account": lambda j: j.account,
    "User": lambda j: j.user,
    "UID": lambda j: str(j.uid),
    "AllocTRES": lambda j: j.tres if j.seconds else "",
    "ElapsedRaw": lambda j: str(j.seconds),
    "Start": lambda j: str(_start(j)) if j.seconds else "Unknown",
    "End": lambda j: "Unknown" if j.state in _QUEUED else str(_start(j) + j.seconds),
    "State": lambda j: j.state,
}


def _start(job: Job) -> int:
    """Jobs follow one another: no two of them begin at the same moment. What runs, runs until now."""
    return NOW - job.seconds if job.state in _QUEUED else NOW - 86400 + job.number


def sacct(jobs: Iterable[Job], words: Sequence[str]) -> str:
    """Jobs of a window: all are of this month, so it matters only whether that lies within."""
    flags, valued, _ = options(words)
    since, until = _moment(valued.get("-S", "now-1days")), _moment(valued.get("-E", "now-0seconds"))
    accounts = valued["-A"].split(",") if "-A" in valued else None
    # what still runs is in every window since it began
    inside = [j for j in jobs if _start(j) <= until and (since <= _start(j) or j.state == "RUNNING")]
    found = [j for j in inside if accounts is None or j.account in accounts]
    columns = valued["-o"].split(",")
    lines = ["|".join(_COLUMNS[c](j) for c in columns) for j in found]
    if "n" not in flags:
        lines.insert(0, "|".join(columns))
    return "".join(f"{line}\n" for line in lines)


def _moment(text: str) -> int:
    if found := _WINDOW.fullmatch(text):
        return NOW - int(found[1]) * _UNITS[found[2]]
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def scontrol(job: Job) -> str:
    """A line of ``scontrol -o show job``."""
    return (
        f"JobId={job.number} JobName=wrap UserId={job.user}({job.uid}) GroupId={job.user}({job.uid}) MCS_label=N/A "
        f"Account={job.account} QOS=normal JobState={job.state} SuspendTime=None\n"
    )
