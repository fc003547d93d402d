"""``reconcile usage backfill``: past months, one after the other, as often as one likes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.accounting import Accounting
from reconciler.cli import options
from reconciler.cli.freezing import freezer
from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED, STOPPED, Interface, worst
from reconciler.cli.stopping import stopping
from reconciler.clusters import accountings, offering_name
from reconciler.config import Config
from reconciler.errors import ConfigError, ReconcileError
from reconciler.plan import USAGE, Plan
from reconciler.render.text import plan_text, printable
from reconciler.state.facts import Facts
from reconciler.state.period import Period, span

MonthOption = Annotated[str, typer.Option(metavar="YYYY-MM")]


def backfill(
    first: Annotated[str, typer.Option("--from", "-s", "--start-date", metavar="YYYY-MM", help="The first month.")],
    last: Annotated[str, typer.Option("--to", "-e", "--end-date", metavar="YYYY-MM", help="The last month.")],
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help="A file with the token of a staff user, who alone may set past months of usage-billed components. "
            "Default: the configured token.",
            show_default=False,
        ),
    ] = None,
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan of each month; change nothing.")] = False,
    staff_check: Annotated[
        bool, typer.Option(help="Stop where the token is not a staff user's.", show_default=True)
    ] = True,
    allow_decrease: options.DecreaseOption = False,
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Load usage of past months into Waldur, month by month, oldest first.

    Run it again after an interruption: months that are already right are only read. A month that fails is named,
    and the others are done. Exit codes: 0 all months are right, 1 one failed, 4 something is blocked.

    Example: reconcile usage backfill --from 2024-01 --to 2024-12 --token-file /etc/waldur/staff.token
    """
    config = _with_token(options.configuration(config_path), token_file)
    name = offering_name(config, offering) if offering else ""
    months = _months(first, last)
    found = accountings(config, name)
    if not found:
        raise ConfigError(
            f"{config.path}: nothing here reports usage" + (f" for offering {offering!r}" if name else "")
        )
    interface = Interface(json_output=False, no_color=no_color)
    documents: list[dict[str, object]] = []
    codes = [DONE]
    for one in found:
        if months[-1] > Period.of(one.clock(), config.timezone):
            raise ReconcileError(f"--to {months[-1]}: that month has not begun")
        try:
            if staff_check and not dry_run:
                _require_staff(one)
            codes += _run(one, months, name, interface, documents, dry_run, allow_decrease, json_output, verbose)
        except ReconcileError as error:
            interface.problem(f"{one.label}: {error.message}", error.hint)
            codes.append(FAILED)
    if json_output:
        typer.echo(json.dumps({"format_version": "1.0", "months": documents}, indent=2))
    raise typer.Exit(worst(codes))


def _months(first: str, last: str) -> list[Period]:
    try:
        months = list(span(Period.parse(first), Period.parse(last)))
    except ValueError as error:
        raise ReconcileError(f"--from, --to: {error}") from None
    if not months:
        raise ReconcileError(f"--from {first} is later than --to {last}")
    return months


def _with_token(config: Config, token_file: Path | None) -> Config:
    """The configuration with another token for every portal."""
    if token_file is None:
        return config
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ReconcileError(
            f"--token-file {token_file}: cannot be read: {getattr(error, 'strerror', error)}"
        ) from None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ReconcileError(f"--token-file {token_file}: holds no token", "It is a file with nothing but the token.")
    options.HIDDEN.hide(token)
    offerings = tuple(o.model_copy(update={"waldur_api_token": SecretStr(token)}) for o in config.offerings)
    return config.model_copy(update={"offerings": offerings})


def _require_staff(one: Accounting) -> None:
    for offering in one.offerings:
        if not one.portals[offering.name].staff():
            raise ReconcileError(
                f"offering {offering.name}: the token is not a staff user's, and only staff may set past months of "
                "usage-billed components; nothing was done",
                "Give a staff user's token with --token-file; where all components are limit-billed, "
                "--no-staff-check goes on with the provider's.",
            )


def _run(
    one: Accounting,
    months: list[Period],
    offering: str,
    interface: Interface,
    documents: list[dict[str, object]],
    dry_run: bool,
    allow_decrease: bool,
    json_output: bool,
    verbose: bool,
) -> list[int]:
    with options.progress(verbose=verbose) as progress:
        facts = one.facts(progress)
    codes = []
    console = options.errors()
    columns = (TextColumn(one.label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("backfill", total=len(months))
        for month in months:
            allowed = options.allowed_guards(None, decrease=allow_decrease)
            code, text, document = _month(
                one, month, offering, facts, allowed, None if json_output else interface, dry_run
            )
            codes.append(code)
            if code > STOPPED:
                break
            documents.append({"usage": one.label, "month": str(month), **document})
            if not json_output:
                style = "red" if code == FAILED else "yellow" if code == BLOCKED else None
                interface.console.print(f"{month}: {printable(text)}", style=style)
            bar.advance(task)
    return codes


def _month(
    one: Accounting,
    month: Period,
    offering: str,
    facts: Mapping[str, Facts],
    allowed: frozenset[str],
    interface: Interface | None,
    dry_run: bool,
) -> tuple[int, str, dict[str, object]]:
    """One month: exit code, what to say, and the same for programs."""
    try:
        with one.locked():
            return _locked_month(one, month, offering, facts, allowed, interface, dry_run)
    except ReconcileError as error:
        return FAILED, f"failed: {error}", {"state": "failed", "error": str(error)}


def _locked_month(
    one: Accounting,
    month: Period,
    offering: str,
    facts: Mapping[str, Facts],
    allowed: frozenset[str],
    interface: Interface | None,
    dry_run: bool,
) -> tuple[int, str, dict[str, object]]:
    planned = one.plan(periods=[month], offering=offering, facts=facts, allowed=allowed)
    plan = planned.plan
    stuck = BLOCKED if plan.stuck or plan.waiting else DONE
    counts: dict[str, object] = {"changes": len(plan.changes), "blocked": len(plan.blocked)}
    said = _said(plan)
    if planned.part.failures:
        return FAILED, f"failed: {planned.part.failures[0]}", {"state": "failed", **counts, "error": said}
    if dry_run:
        if interface is not None and not plan.empty:
            interface.console.print(plan_text(plan))
        return stuck, f"{len(plan.changes)} to send{said}", {"state": "planned", **counts}
    if not plan.changes:
        said += "".join(f"; {w.text}" for w in plan.warnings if "no job of anybody" in w.text)
        return stuck, f"already right{said}", {"state": "equal", **counts}
    frozen = freezer(one.config).frozen((plan.cluster.removeprefix(USAGE),), one.clock())
    if frozen is not None:
        return REFUSED, f"{frozen.text}; to go on: {frozen.lifted_by}", {"state": "frozen", **counts}
    with stopping() as stop:
        outcome = one.apply(plan, reading=planned.part, stop=stop)
    if stop():
        return stop.code, f"stopped by {stop()}", {"state": "interrupted", **counts}
    if outcome.failures:
        address, why = next(iter(outcome.failures.items()))
        text = f"failed: {len(outcome.failures)} of {len(plan.changes)}, first {address}: {why}"
        return FAILED, text, {"state": "failed", **counts, "error": text}
    return stuck, f"{len(plan.changes)} sent{said}", {"state": "sent", **counts}


def _said(plan: Plan) -> str:
    """What else a person must know of a month, in a line."""
    parts = [f"{c.address} blocked: {c.blocked}" for c in plan.blocked[:3]]
    parts += [f"{n.address}: {n.text}" for n in (*plan.refused, *plan.waiting)][:3]
    more = len(plan.blocked) + len(plan.refused) + len(plan.waiting) - len(parts)
    return f"; {'; '.join(parts)}" + (f"; and {more} more" if more > 0 else "") if parts else ""
