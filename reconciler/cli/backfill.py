"""``reconcile usage backfill``: past months, one after the other, as often as one likes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from reconciler.cli import options
from reconciler.cli.freezing import freezer
from reconciler.cli.interface import BLOCKED, DONE, FAILED, REFUSED, SILENT, STOPPED, Interface, worst
from reconciler.cli.stopping import stopping
from reconciler.config import Config
from reconciler.cycle.part import Answered, Sources
from reconciler.cycle.scopes import accountings, offering_name
from reconciler.cycle.usage import Accounting
from reconciler.errors import ConfigError, ReconcileError
from reconciler.plan.model import Plan
from reconciler.state.period import Period, span
from reconciler.store.names import scope_name


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
    and the others are done. Exit codes: 0 all months are right, 1 one failed, 4 something is blocked,
    5 the source knows no job of anybody, so nothing is known.

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
            staff = _require_staff(one) if staff_check and not dry_run else None
            with options.progress(verbose=verbose) as progress:
                told = one.facts(progress)
            facts = {n: replace(f, staff=staff) for n, f in told.facts.items()}
            known = Answered(facts, told.unread)
            codes += _run(one, months, name, known, interface, documents, dry_run, allow_decrease, json_output)
        except ReconcileError as error:
            interface.problem(f"{scope_name(one.label)}: {error.message}", error.hint)
            codes.append(FAILED)
    if json_output:
        typer.echo(json.dumps({"format_version": "1.0", "months": documents}, indent=2))
    raise typer.Exit(worst([*codes, FAILED] if dry_run and interface.faults.found else codes))


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
    config.veil.hide(token)
    offerings = tuple(o.model_copy(update={"waldur_api_token": SecretStr(token)}) for o in config.offerings)
    return config.model_copy(update={"offerings": offerings})


def _require_staff(one: Accounting) -> bool:
    for offering in one.offerings:
        ledger = one.portals[offering.name].ledger
        if ledger is None or not ledger.staff():
            raise ReconcileError(
                f"offering {offering.name}: the token is not a staff user's, and only staff may set past months of "
                "usage-billed components; nothing was done",
                "Give a staff user's token with --token-file; where all components are limit-billed, "
                "--no-staff-check goes on with the provider's.",
            )
    return True


def _run(
    one: Accounting,
    months: list[Period],
    offering: str,
    told: Answered,
    interface: Interface,
    documents: list[dict[str, object]],
    dry_run: bool,
    allow_decrease: bool,
    json_output: bool,
) -> list[int]:
    sources = one.sources()
    codes = []
    console = options.errors()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(scope_name(one.label), total=len(months))
        for month in months:
            allowed = options.allowed_guards(None, decrease=allow_decrease)
            code, text, document = _month(
                one, month, offering, told, sources, allowed, None if json_output else interface, dry_run
            )
            codes.append(code)
            if code > STOPPED:
                break
            documents.append({"usage": one.label, "month": str(month), **document})
            if not json_output:
                style = "red" if code in (FAILED, SILENT) else "yellow" if code == BLOCKED else None
                interface.say(f"{month}: {text}", style=style)
            bar.advance(task)
    return codes


def _month(
    one: Accounting,
    month: Period,
    offering: str,
    told: Answered,
    sources: Sources,
    allowed: frozenset[str],
    interface: Interface | None,
    dry_run: bool,
) -> tuple[int, str, dict[str, object]]:
    """One month: exit code, what to say, and the same for programs."""
    try:
        with one.locked():
            return _locked_month(one, month, offering, told, sources, allowed, interface, dry_run)
    except ReconcileError as error:
        return FAILED, f"failed: {error}", {"state": "failed", "error": str(error)}


def _locked_month(
    one: Accounting,
    month: Period,
    offering: str,
    told: Answered,
    sources: Sources,
    allowed: frozenset[str],
    interface: Interface | None,
    dry_run: bool,
) -> tuple[int, str, dict[str, object]]:
    planned = one.plan(periods=[month], offering=offering, told=told, sources=sources, allowed=allowed)
    plan = planned.plan
    stuck = BLOCKED if plan.stuck or plan.waiting else DONE
    counts: dict[str, object] = {"changes": len(plan.changes), "blocked": len(plan.blocked)}
    said = _said(plan)
    if planned.part.failures:
        return FAILED, f"failed: {planned.part.failures[0]}", {"state": "failed", **counts, "error": said}
    if planned.part.silent:
        return SILENT, f"nothing is known: {planned.part.silent}", {"state": "silent", **counts}
    if dry_run:
        if interface is not None and not plan.empty:
            interface.plan(plan)
        return stuck, f"{len(plan.changes)} to send{said}", {"state": "planned", **counts}
    if not plan.changes:
        said += "".join(f"; {w.text}" for w in plan.warnings if "no job of anybody" in w.text)
        return stuck, f"already right{said}", {"state": "equal", **counts}
    frozen = freezer(one.config).frozen(one.names, one.clock())
    if frozen is not None:
        return REFUSED, f"{frozen.text}; to go on: {frozen.lifted_by}", {"state": "frozen", **counts}
    with stopping() as stop:
        outcome = one.apply(plan, planned=planned, stop=stop)
    for fault in outcome.faults:
        options.faults().tell(fault)
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
