"""What SLURM's commands say, and what it means: done, refused for good, or nobody there to answer."""

from __future__ import annotations

from reconciler.errors import CommandError
from reconciler.providers.base import Verdict
from reconciler.providers.runner import Result

# what sacctmgr says when there was nothing left to do; the read afterwards tells whether that is true
_NOTHING = ("nothing new added", "nothing modified", "nothing deleted", "nothing removed")
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


def verdict(result: Result) -> Verdict:
    """What an answer of sacctmgr means; ``final`` where it itself refused what it was asked for."""
    problem = _problem(result)
    if not problem:
        return Verdict()
    final = result.code == 1 and any(sign in problem.lower() for sign in _FINAL)
    return Verdict(problem, final, any(sign in result.said.lower() for sign in _OUTAGE))


def _problem(result: Result) -> str:
    said = result.said
    if result.code == 0 and not any(sign in said for sign in _REFUSED):
        return ""
    if any(n in said.lower() for n in _NOTHING) and "error" not in said.lower():
        return ""
    command = result.command if len(result.command) <= 300 else result.command[:300] + "…"
    return f"{command}: exit code {result.code}: {said}"


def command_error(result: Result) -> CommandError:
    """A failed read as an error that says what SLURM said, and what usually is behind it."""
    said = result.said or "it said nothing"
    return CommandError(f"{result.command}: exit code {result.code}: {said}", advice(said))


def advice(said: str) -> str:
    """What usually is behind what SLURM said."""
    for sign, hint in (
        ("Connection refused", "slurmdbd is not running or not reachable (AccountingStorageHost)."),
        ("failed to open persistent connection", "slurmdbd is not running or not reachable."),
        ("Unable to connect to database", "slurmdbd runs, its database does not."),
        ("Munge", "munged is not running on this host."),
        ("sudo:", "sudo has to allow the command without a password: see docs/security.md for the lines."),
        ("permission denied", "The caller lacks rights in SLURM: run as root, SlurmUser or an Operator."),
    ):
        if sign.lower() in said.lower():
            return hint
    return ""
