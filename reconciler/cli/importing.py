"""``reconcile import``: accounts that Waldur does not know, listed, and offered to Waldur for import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cli.freezing import require_thawed
from reconciler.cli.interface import DONE, FAILED, Interface, worst
from reconciler.cycle.imports import importable, offer
from reconciler.cycle.scopes import offering_name
from reconciler.desired.imports import Importable
from reconciler.errors import ReconcileError
from reconciler.render.table import Column, Table

NOTHING = "Nothing to offer: Waldur knows these accounts, or their projects are unknown to it."


def import_(
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    write: Annotated[
        bool, typer.Option("--write", help="Offer them to Waldur, where the owner makes resources of them.")
    ] = False,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Do not ask before writing.")] = False,
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
    verbose: options.VerboseOption = False,
) -> None:
    """List accounts on the cluster that Waldur does not know, with limits and members.

    An account below the account of a known project can be offered to Waldur with --write; once its owner has
    imported it there, the resource's backend_id names the account and plan and apply look after it.
    """
    config = options.configuration(config_path)
    interface = Interface(json_output=False, no_color=no_color)
    if write and json_output:
        raise ReconcileError("--json lists, --write shows a plan", "Give one of them.")
    if write:
        require_thawed(config, offering_name(config, offering) if offering else "")
        options.require_answer(auto_approve=auto_approve, json_output=False)
    name = offering_name(config, offering) if offering else ""
    listed: list[tuple[str, list[Importable]]] = []
    codes = [DONE]
    for cluster in options.chosen_clusters(config, offering):
        with options.progress(verbose=verbose) as progress:
            found, plan = importable(cluster, progress=progress, offering=name)
        listed.append((plan.cluster, found))
        if not json_output:
            interface.say(f"Cluster {plan.cluster}: {len(found)} accounts that Waldur does not know\n")
            if found:
                interface.table("the accounts", partial(_table, found))
        if write:
            interface.plan(plan, title=f"Cluster {plan.cluster}", nothing=NOTHING)
            if plan.changes and (auto_approve or interface.agreed()):
                with cluster.locked():
                    # defaults bind the loop's variables, and mypy infers no type for such a lambda
                    outcome = interface.run(plan, lambda listener, c=cluster, p=plan: offer(c, p, listener))  # type: ignore[misc]
                interface.result(outcome)
                codes.append(FAILED if outcome.failures else DONE)
    if json_output:
        typer.echo(json.dumps({"format_version": "1.0", "accounts": _rows(listed)}, indent=2))
    raise typer.Exit(worst(codes))


def _rows(listed: Sequence[tuple[str, Sequence[Importable]]]) -> list[dict[str, object]]:
    return [{"cluster": cluster, **_row(one)} for cluster, found in listed for one in found]


def _row(one: Importable) -> dict[str, object]:
    """The account's fields; its budget by the name that the kind of cluster has for it."""
    values = asdict(one)
    field = values.pop("budget_field")
    return {field if name == "budget" else name: value for name, value in values.items()}


def _table(found: Sequence[Importable]) -> Table:
    titles = ("account", "parent", "project", "offering", "limits", "members", "")
    table = Table([Column(title) for title in titles])
    for one in found:
        strangers = len(one.members) - len(one.known_members)
        people = f"{len(one.members)}" + (f" ({strangers} unknown to Waldur)" if strangers else "")
        limits = " ".join(f"{k}={v}" for k, v in sorted(one.limits.items())) or "-"
        cells = (one.account, one.parent, one.project_name or "-", one.offering or "-", limits, people)
        table.add([*cells, "offered" if one.offered else ""])
    return table
