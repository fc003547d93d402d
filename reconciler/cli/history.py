"""``reconcile history``: what was done, when, by which run, and how it ended."""

from __future__ import annotations

import fnmatch
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from reconciler.cli import options
from reconciler.cli.interface import FAILED
from reconciler.errors import ReconcileError
from reconciler.providers.registry import EXAMPLE
from reconciler.render.history import action_text, runs_table
from reconciler.state.model import Address
from reconciler.store import Journal, store_of
from reconciler.store.journal import Entry

_AGO = re.compile(r"([0-9]+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def history(
    config_path: options.ConfigOption = None,
    address: Annotated[
        str, typer.Option("--address", help=f"Only these objects, with * and ? (like '{EXAMPLE}[hpc_*]').")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="From this moment on: 2026-11-20, 2026-11-20T08:00, or 90m, 12h, 7d ago.")
    ] = "",
    run: Annotated[str, typer.Option("--run", help="Every action of one run.")] = "",
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Show what reconcile did: its runs, or with --run, --address or --since every action with before and after.

    Examples:

    \b
      reconcile history
      reconcile history --run 20261121T081500-3fa1c2
      reconcile history --address 'slurm.account[hpc_climate]' --since 7d
    """
    config = options.configuration(config_path)
    journal = Journal(store_of(config), "")
    moment = _moment(since, ZoneInfo(config.timezone)) if since else ""
    actions = bool(run or address or since)
    runs = [r for r in journal.runs(limit=100_000 if actions else 50) if not run or r.id == run]
    if run and not runs:
        raise ReconcileError(f"--run {run}: no such run", "reconcile history lists the latest runs.")
    entries = [e for e in journal.entries(run=run, since=moment) if _named(e, address)] if actions else []
    if json_output:
        shown_runs = {e.run for e in entries} if actions and not run else {r.id for r in runs}
        listed = [asdict(r) for r in runs if r.id in shown_runs]
        document = {"format_version": "1.0", "runs": listed, "actions": [asdict(e) for e in entries]}
        typer.echo(json.dumps(document, indent=2))
        return
    console, faults = options.output(no_color=no_color), options.faults()
    if actions:
        for entry in entries:
            console.print(action_text(entry, faults))
        console.print(f"{len(entries)} actions.")
    elif runs:
        console.print(runs_table(runs))
    else:
        console.print("Nothing was applied yet, or the journal is gone.")
    if faults.found:
        raise typer.Exit(FAILED)


def _moment(text: str, zone: ZoneInfo) -> str:
    """A moment as the journal keeps it."""
    try:
        if ago := _AGO.fullmatch(text.strip()):
            when = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            when = datetime.fromisoformat(text.strip())
            when = when if when.tzinfo else when.replace(tzinfo=zone)
        return when.astimezone(UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        raise ReconcileError(f"--since {text}: no moment", "Write 2026-11-20, 2026-11-20T08:00 or 12h.") from None


def _named(entry: Entry, pattern: str) -> bool:
    if not pattern:
        return True
    try:
        return Address.parse(entry.address).matches(pattern)
    except ValueError:
        return fnmatch.fnmatchcase(entry.address, pattern)
