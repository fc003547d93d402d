"""slurmctld's own counters of usage, where they can be compared with the accounting database.

Source: scontrol(1) ``show assoc_mgr``, slurm.conf(5) ``PriorityDecayHalfLife``, ``PriorityUsageResetPeriod``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from reconciler.errors import CommandError, ReadError
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm.said import advice
from reconciler.state.names import fold

_SETTING = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_RECORD = re.compile(r"ClusterName=\S* Account=(\S*) UserName=(\S*) ")
_COUNT = re.compile(r"([a-z]+(?:/[^=,\s]+)?)=[^(,\s]*\((\d+)\)")
#: since when counters without decay and reset have counted
ALL_TIME = date(1980, 1, 1)


@dataclass(frozen=True)
class Counters:
    """TRES-minutes by account since a day, or why there are none to compare.

    ``allocated``: what runs at this moment; slurmctld adds it up every ``period`` minutes only.
    """

    since: date | None
    why_not: str = ""
    minutes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    allocated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    period: int = 5


def read(runner: CommandRunner, today: date) -> Counters:
    """Counters of all accounts, in two calls. Raises :class:`ReadError`."""
    settings = settings_of(runner)
    kind = settings.get("PriorityType", "")
    if kind != "priority/multifactor":
        return Counters(None, f"slurmctld keeps no usage: PriorityType is {kind or 'unknown'}")
    half_life = settings.get("PriorityDecayHalfLife", "")
    if half_life.strip("0:-"):
        return Counters(None, f"slurmctld's counters decay (PriorityDecayHalfLife = {half_life})")
    reset = settings.get("PriorityUsageResetPeriod", "NONE").upper()
    since = {
        "NONE": ALL_TIME,
        "MONTHLY": today.replace(day=1),
        "QUARTERLY": today.replace(month=today.month - (today.month - 1) % 3, day=1),
        "YEARLY": today.replace(month=1, day=1),
    }.get(reset)
    if since is None:
        return Counters(None, f"slurmctld resets its counters too often (PriorityUsageResetPeriod = {reset})")
    minutes, allocated = _counted(runner)
    return Counters(since, "", minutes, allocated, _minutes(settings.get("PriorityCalcPeriod", "")))


@dataclass(frozen=True)
class Forgetting:
    """How slurmctld's counters fall by themselves: ``half_life`` and ``period`` in slurm.conf's words, empty: never."""

    half_life: str = ""
    period: str = ""
    kind: str = ""


def forgetting(settings: Mapping[str, str]) -> Forgetting:
    """What ``scontrol show config`` says of it."""
    half_life = settings.get("PriorityDecayHalfLife", "")
    period = settings.get("PriorityUsageResetPeriod", "NONE").upper()
    return Forgetting(
        half_life if half_life.strip("0:-") else "",
        "" if period == "NONE" else period,
        settings.get("PriorityType", ""),
    )


def settings_of(runner: CommandRunner) -> Mapping[str, str]:
    """``scontrol show config``. Raises :class:`ReadError`."""
    return dict(_SETTING.findall(_said(runner, "show", "config")))


_QUEUE = re.compile(r"DBD Agent queue size:\s*(\d+)")


def require_told(runner: CommandRunner) -> None:
    """Raise :class:`ReadError` where slurmctld still has something to tell slurmdbd: sacct knows too little then."""
    result = runner.run("sdiag")
    found = _QUEUE.search(result.stdout)
    if result.code != 0 or found is None:
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said or 'it said nothing'}")
    if int(found[1]):
        raise ReadError(f"slurmctld has {found[1]} messages that slurmdbd does not know yet")


def used(runner: CommandRunner) -> Mapping[str, Mapping[str, int]]:
    """TRES-minutes by account that count against its limits at this moment, in one call. Raises :class:`ReadError`."""
    return _counted(runner)[0]


def _counted(runner: CommandRunner) -> tuple[dict[str, Mapping[str, int]], dict[str, Mapping[str, int]]]:
    minutes: dict[str, Mapping[str, int]] = {}
    allocated: dict[str, Mapping[str, int]] = {}
    for line in _said(runner, "-o", "show", "assoc_mgr", "flags=assoc").splitlines():
        record = _RECORD.match(line)
        if record and not record[2]:
            name = fold(record[1])
            minutes[name] = _counts(line, "GrpTRESMins")
            allocated[name] = _counts(line, "GrpTRES")
    if "root" not in minutes:
        raise ReadError("scontrol show assoc_mgr: the account root is missing, so the answer is not whole")
    return minutes, allocated


def _said(runner: CommandRunner, *arguments: str) -> str:
    result = runner.run("scontrol", *arguments)
    if result.code != 0:
        hint = advice(result.said) or "slurmctld may be down."
        raise CommandError(f"{result.command}: exit code {result.code}: {result.said}", hint)
    return result.stdout


def _counts(line: str, field_name: str) -> dict[str, int]:
    found = re.search(rf" {field_name}=(\S*)", line)
    return {name: int(count) for name, count in _COUNT.findall(found[1])} if found else {}


def _minutes(text: str) -> int:
    parts = re.findall(r"\d+", text)
    return max(1, int(parts[-3]) * 60 + int(parts[-2])) if len(parts) >= 3 else 5
