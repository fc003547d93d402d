"""A plan as a shell script of the very commands an apply would run, for review."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from reconciler.plan import Plan, steps
from reconciler.providers.slurm import write
from reconciler.render.text import printable
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import on_cluster

Argv = Callable[..., list[str]]


def command_lines(changes: Iterable[Change], cluster: str, argv: Argv) -> list[str]:
    """Commands that make these changes, in order, quoted for a POSIX shell."""
    lines: list[str] = []
    for step in steps(c for c in changes if on_cluster(c.address)):
        for change in step:
            if change.jobs and change.action is Action.DELETE:
                account, user = change.address.key
                lines.append(shlex.join(argv("scancel", "-M", cluster, "-A", account, "-u", user)))
        for command in write.commands(step, cluster):
            lines.append(shlex.join(argv(command.program, *command.arguments)))
    return lines


def script(plan: Plan, argv: Argv) -> str:
    """The whole plan with its reasons as comments; blocked changes appear as comments alone."""
    out = [
        "#!/bin/sh",
        f"# cluster {plan.cluster}, offerings: {printable(', '.join(plan.offerings))}",
        f"# planned {plan.created} by reconcile; stops at the first command that fails",
        "set -eu",
        "",
    ]
    for refusal in plan.refusals:
        out.append(f"# GUARD: {printable(refusal.text)}; reconcile itself would refuse this plan")
    for step in steps(plan.changes):
        out += _comments(step)
        out += command_lines(step, plan.cluster, argv)
        out.append("")
    for change in plan.blocked:
        out.append(f"# blocked: {change.action.value} {change.address}: {printable(change.blocked)}")
    return "\n".join(out).rstrip() + "\n"


def _comments(step: Sequence[Change]) -> list[str]:
    return [
        f"# {change.action.value} {change.address}: {printable(change.reason)}"
        + ("" if on_cluster(change.address) else "; reconcile apply does this, no command can")
        for change in step
    ]
