"""``reconcile usage``: what was used, reported to Waldur, shown, and compared between those who count it."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.apply import Asked, cycles
from reconciler.cli.backfill import backfill
from reconciler.cli.interface import DONE, FAILED, SILENT, Interface
from reconciler.config import Config
from reconciler.cycle.scopes import offering_name
from reconciler.cycle.usage import Accounting
from reconciler.cycle.usage_rows import By, Figure, figures, incomplete, known
from reconciler.cycle.verify import Verified
from reconciler.cycle.verify import verify as verified
from reconciler.errors import ReconcileError
from reconciler.plan.select import Mode
from reconciler.render.usage import comparison_document, comparison_table, csv_text, document, table
from reconciler.state.period import Period, span
from reconciler.store.names import scope_name

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Report what was used to Waldur, load past months, show it, and check that all who count it agree.",
)
DIFFERENT = 2
_MONTHS = 6
PeriodOption = Annotated[
    str, typer.Option("--period", metavar="YYYY-MM", help="The month. Default: this one.", show_default=False)
]


def chosen(config: Config, offering: str) -> list[Accounting]:
    """Where usage is looked after. Raises :class:`ConfigError` where none is."""
    return [a for a in options.chosen(config, offering, Mode.REPORT) if isinstance(a, Accounting)]


def a_period(text: str, accounting: Accounting) -> Period:
    """The month that an option names."""
    now = Period.of(accounting.clock(), accounting.config.timezone)
    if not text:
        return now
    try:
        period = Period.parse(text)
    except ValueError as error:
        raise ReconcileError(f"--period: {error}") from None
    if period > now:
        raise ReconcileError(f"--period {period}: that month has not begun")
    return period


@app.command()
def report(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    target: options.TargetOption = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask.")] = False,
    allow_decrease: options.DecreaseOption = False,
    json_output: Annotated[bool, typer.Option("--json", help="Stream one JSON event per line.")] = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Report usage of this month and the last (reporting_periods) to Waldur: plan, ask, send, read again.

    The same as `reconcile apply --mode report`; `reconcile plan --mode report` shows what would be sent.
    Equal values are not sent. A value that would fall below Waldur's is blocked (exit code 4).
    """
    config = options.configuration(config_path)
    options.require_answer(auto_approve=auto_approve, json_output=json_output)
    interface = Interface(json_output=json_output, no_color=no_color)
    asked = Asked(
        targets=target or (),
        offering=offering_name(config, offering) if offering else "",
        mode=Mode.REPORT,
        ask=not auto_approve,
        verbose=verbose,
    )
    allowed = options.allowed_guards(None, decrease=allow_decrease)
    raise typer.Exit(cycles(chosen(config, offering), interface, allowed, **asked))


app.command()(backfill)


@app.command()
def show(
    account: Annotated[str, typer.Argument(metavar="[ACCOUNT]", help="Only this account (or resource).")] = "",
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    period: PeriodOption = "",
    by: Annotated[By, typer.Option("--by", help="A row per account, per user, or per month (six of them).")] = (
        By.ACCOUNT
    ),
    json_output: options.JsonOption = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="Comma-separated values with a header.")] = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Show what was used, in Waldur's units, with a bar of used against limit. Changes nothing.

    Exit code 5: the source knows no job of anybody, so nothing is known.

    Examples:

    \b
      reconcile usage show
      reconcile usage show hpc_climate --by user --period 2026-10
      reconcile usage show --by month --csv > usage.csv
    """
    if json_output and csv_output:
        raise ReconcileError("--json and --csv exclude each other", "Give one of them.")
    config = options.configuration(config_path)
    rows: list[Figure] = []
    problems: list[str] = []
    silent: list[str] = []
    found = not account
    for one in chosen(config, offering):
        last = a_period(period, one)
        periods = [last]
        if by is By.MONTH:
            periods = list(span(Period(last.year - (last.month < _MONTHS), (last.month - _MONTHS) % 12 + 1), last))
        try:
            with options.progress(verbose=verbose) as progress:
                part = one.part(one.facts(progress), periods, progress=progress, compare=False)
        except ReconcileError as error:
            problems.append(f"{scope_name(one.label)}: {error}")
            continue
        problems += [f"{scope_name(one.label)}: {e}" for e in part.failures]
        silent += [f"{scope_name(one.label)}: {part.silent}"] if part.silent else []
        problems += incomplete(part.accounts, account)
        rows += figures([a for a in part.accounts if not a.accounted.silent], by, account)
        found = found or known(part.accounts, account)
    if json_output:
        typer.echo(document(rows, [*problems, *silent]))
    elif csv_output:
        typer.echo(csv_text(rows), nl=False)
    elif rows:
        options.output(no_color=no_color).print(table(rows, by))
    elif found and not problems and not silent:
        options.output(no_color=no_color).print("No usage.")
    for problem in (*problems, *silent) if not json_output else ():
        options.complain(problem)
    if not found and not problems:
        raise ReconcileError(f"no resource has the account {account!r}", "reconcile usage show lists all of them.")
    raise typer.Exit(FAILED if problems else SILENT if silent else DONE)


@app.command()
def verify(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    period: PeriodOption = "",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, max=1, help="The share by which two counts may differ.")
    ] = 0.01,
    all_rows: Annotated[bool, typer.Option("--all", help="Also list what agrees.")] = False,
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """Compare the cluster's accounting, its own counters, Waldur and DWDI, account by account. Changes nothing.

    Counters (slurmctld's, balances of funds) are compared where they do not decay. Exit code 0: all agree,
    2: something differs, 1: something could not be read, 5: the source knows no job of anybody, so nothing is known.
    """
    config = options.configuration(config_path)
    results: list[Verified] = []
    for one in chosen(config, offering):
        try:
            with options.progress(verbose=verbose) as progress:
                results.append(verified(one, a_period(period, one), tolerance, progress=progress))
        except ReconcileError as error:
            results.append(Verified((), (), (f"{scope_name(one.label)}: {error}",)))
    rows = [r for result in results for r in result.rows]
    notes = [n for result in results for n in result.notes]
    problems = [p for result in results for p in result.problems]
    silent = [result.silent for result in results if result.silent]
    different = [r for r in rows if r.differs]
    if json_output:
        typer.echo(comparison_document(rows, notes, [*problems, *silent]))
    else:
        console = options.output(no_color=no_color)
        listed = rows if all_rows else different
        if listed:
            sources = list(dict.fromkeys(s for r in rows for s in r.amounts))
            console.print(comparison_table(listed, sources))
        for note in notes:
            console.print(f"Not compared: {note}")
        console.print(f"{len(rows)} compared, {len(different)} differ by more than {tolerance:.1%}.")
        for problem in (*problems, *silent):
            options.complain(problem)
    raise typer.Exit(FAILED if problems else SILENT if silent else DIFFERENT if different else DONE)
