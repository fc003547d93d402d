"""Options that commands share, and what they turn into."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from reconciler.config import Config, Veil, load, load_default
from reconciler.config.guards import ALLOWABLE, PER_KIND, SHRINKING
from reconciler.cycle.cluster import Cluster
from reconciler.cycle.scope import Scope
from reconciler.cycle.scopes import clusters, offering_name, scopes
from reconciler.cycle.world import Progress
from reconciler.desired.usage import ALLOW_DECREASE
from reconciler.errors import ReconcileError
from reconciler.faults import Fault, Faults
from reconciler.plan.select import Mode
from reconciler.providers.registry import EXAMPLE, load_backends
from reconciler.render.text import printable_lines
from reconciler.state.kinds import KINDS

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        "--config-file",
        help="Configuration file. Default: $WALDUR_SITE_AGENT_CONFIG, /etc/waldur/waldur-site-agent-config.yaml, "
        "then the same name here; without any of them the variables of waldur-slurm-agent (WALDUR_API_URL, …).",
        show_default=False,
    ),
]
OfferingOption = Annotated[
    str,
    typer.Option("--offering", "--offering-uuid", help="Only this offering (name or uuid).", show_default=False),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help=f"Only these addresses and what they depend on; repeatable, with * and ? (like '{EXAMPLE}[hpc_*]').",
        show_default=False,
    ),
]
ModeOption = Annotated[
    Mode,
    typer.Option(
        "--mode",
        "-m",
        help="Only a part of the work, by the agents' words: order_process is orders with all they need, "
        "membership_sync everything else on the cluster, report usage.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR, and any pipe).")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being read, and why.")]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="GUARD",
        help=f"Lift a guard for this run; repeatable. One of: {', '.join(ALLOWABLE)}; "
        f"{' and '.join(PER_KIND)} also for one kind alone (max_updates_share:{EXAMPLE}).",
        show_default=False,
    ),
]


DecreaseOption = Annotated[
    bool,
    typer.Option(
        "--allow-decrease", help="Send usage that is less than Waldur holds (the same as --allow allow_decrease)."
    ),
]


ShrinkOption = Annotated[
    bool,
    typer.Option(
        "--accept-shrink",
        help="Believe once that Waldur has so few resources, and know its orphans from then on (--allow "
        "min_read_share and min_resources_share).",
    ),
]


def allowed_guards(names: list[str] | None, *, decrease: bool = False, shrink: bool = False) -> frozenset[str]:
    """Checked names of ``--allow``."""
    for name in names or ():
        key, _, kind = name.partition(":")
        if key not in ALLOWABLE or (kind and (key not in PER_KIND or kind not in KINDS)):
            raise ReconcileError(f"--allow {name}: no such guard", f"Guards: {', '.join(ALLOWABLE)}")
    flags = {(ALLOW_DECREASE,): decrease, SHRINKING: shrink}
    return frozenset(names or ()).union(*(keys for keys, given in flags.items() if given))


def output(*, no_color: bool = False) -> Console:
    """Standard output: colour on a terminal only, nothing wrapped, no markup in what others wrote."""
    # in a pipe nothing is cut off: whoever reads it has no width
    width = None if sys.stdout.isatty() else 10_000
    color = True if no_color else None
    return Console(no_color=color, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Standard error."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


REPORT = "Run again with RECONCILE_DEBUG=1 for details and report it."


def complain(text: str, hint: str = "") -> None:
    """Say on standard error what went wrong, and what to do."""
    text = "\n".join(f"{indent}{line}" for indent, line in (("Error: ", text), ("  ", hint)) if line)
    errors().print(printable_lines(HIDDEN.text(text)), style="red")


def warn(text: str) -> None:
    """Say on standard error what should be known."""
    errors().print(printable_lines(HIDDEN.text(f"Warning: {text}")), style="yellow")


def debug(details: str) -> None:
    """A traceback, for whoever asked for it."""
    if os.environ.get("RECONCILE_DEBUG"):
        errors().print(HIDDEN.text(details), end="")


def faults() -> Faults:
    """Faults of what shows, said on standard error as they happen."""
    return Faults(_fault)


def _fault(fault: Fault) -> None:
    debug(fault.details)
    complain(str(fault), f"This is a defect of reconcile, and changes nothing of what is done. {REPORT}")


#: what error messages and tracebacks of this process must not repeat
HIDDEN = Veil()


def configuration(path: Path | None) -> Config:
    """The configuration; its warnings go to standard error."""
    config = load(path) if path else load_default()
    HIDDEN.hide_all_of(config.veil)
    load_backends(config)
    for warning in config.warnings:
        warn(warning)
    return config


def chosen(config: Config, offering: str, mode: Mode = Mode.ALL) -> list[Scope]:
    """What to work on."""
    return scopes(config, offering_name(config, offering) if offering else "", mode)


def chosen_clusters(config: Config, offering: str) -> list[Cluster]:
    """The clusters to work on."""
    return clusters(config, offering_name(config, offering) if offering else "")


@contextmanager
def progress(*, verbose: bool) -> Iterator[Progress]:
    """A spinner with the current step on a terminal; lines on standard error with ``--verbose``."""
    console, seen = errors(), faults()
    status = console.status("") if console.is_terminal and not verbose else None

    def show(text: str) -> None:
        line = printable_lines(text)
        if status is not None:
            status.update(Text(line))  # a plain text would be read as markup
        elif verbose:
            console.print(line)

    def tried(work: Callable[[], object]) -> None:
        if not seen.found:
            seen.attempt("progress", work, lambda fault: None)

    if status is not None:
        tried(status.start)
    try:
        yield lambda text: tried(lambda: show(text))
    finally:
        if status is not None:
            seen.attempt("progress", status.stop, lambda fault: None)


def require_answer(*, auto_approve: bool, json_output: bool) -> None:
    """Raise :class:`ReconcileError` where a question would have to be asked and nobody can answer."""
    if json_output and not auto_approve:
        raise ReconcileError("--json cannot ask a question", "Add --auto-approve, or apply a saved plan.")
    if not auto_approve and not interactive():
        raise ReconcileError("nobody can answer here: standard input is no terminal", "Add --auto-approve.")


def interactive() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty()
