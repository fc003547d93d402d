"""A plan as a shell script of what an apply would run, for review: object by object, where that makes many at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from reconciler.apply.calls import calls_of
from reconciler.faults import Fault, Faults
from reconciler.plan.model import Plan
from reconciler.plan.order import steps
from reconciler.providers.base import Cluster
from reconciler.providers.command import Command
from reconciler.render.text import DEFECT, address_text, plain_line, printable
from reconciler.state.diff import Change
from reconciler.state.kinds import on_cluster
from reconciler.store.names import scope_name


def command_lines(changes: Iterable[Change], cluster: Cluster, name: str, *, remote: bool = False) -> list[str]:
    """Commands that make these changes, in order, quoted for a POSIX shell."""
    calls = calls_of(changes, cluster, name, remote=remote)
    return [typed(call, cluster) for call in calls]


def typed(call: Command, cluster: Cluster) -> str:
    """A call as one would type it; a word that nobody knows yet is asked for by the shell."""
    line, asked = shlex.join(cluster.runner.argv(call.program, *call.arguments)), call.asked
    if asked is None:
        return line
    question = shlex.join(cluster.runner.argv(asked.program, *asked.arguments))
    # the word has characters that are quoted on any way to the cluster, so that it is a quoted piece of the line
    known = line.replace(f"'{asked.word}'", '"${found:?nothing was found}"')
    return f"found=$({question} | sed -n {shlex.quote(asked.select)}); {known}"


def script(plan: Plan, cluster: Cluster | None, faults: Faults) -> str:
    """The whole plan with its reasons as comments; blocked changes appear as comments alone.

    ``cluster``: whose commands they are; None for a plan of usage alone.

    Where a command cannot be written the script ends, and ``faults`` says why.
    """
    out = [
        "#!/bin/sh",
        f"# {printable(scope_name(plan.cluster))}, offerings: {printable(', '.join(plan.offerings))}",
        f"# planned {printable(plan.created)} by reconcile; stops at the first command that fails",
        "set -eu",
        "",
    ]
    for refusal in plan.refusals:
        out.append(f"# GUARD: {printable(refusal.text)}; reconcile itself would refuse this plan")
    for step in steps(plan.changes):
        out += _step(step, plan, cluster, faults)
        out.append("")
    for change in plan.blocked:
        out.append(f"# blocked: {change.action.value} {address_text(change.address)}: {printable(change.blocked)}")
    return "\n".join(out).rstrip() + "\n"


def _step(step: Sequence[Change], plan: Plan, cluster: Cluster | None, faults: Faults) -> list[str]:
    def plain(fault: Fault) -> list[str]:
        # what follows may need it
        return [f"# {plain_line(c)}" for c in step] + [f"# {DEFECT}: {printable(fault.why)}", "exit 1"]

    what = ", ".join(str(c.address) for c in step[:3])

    def whole() -> list[str]:
        lines = command_lines(step, cluster, plan.cluster, remote=plan.remote) if cluster is not None else []
        return [*_comments(step), *lines]

    return faults.attempt(what, whole, plain)


def _comments(step: Sequence[Change]) -> list[str]:
    return [
        f"# {change.action.value} {address_text(change.address)}: {printable(change.reason)}"
        + ("" if on_cluster(change.address) else "; reconcile apply does this, no command can")
        for change in step
    ]
