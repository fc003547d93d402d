"""``reconcile diagnose ACCOUNT``: expected against actual, with the commands between."""

from __future__ import annotations

from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.cycle.cluster import Cluster
from reconciler.diagnose import Report
from reconciler.diagnose import diagnose as explain
from reconciler.errors import ReconcileError
from reconciler.render import diagnosis

OK, ERROR, MISMATCH, NO_SUCH_ACCOUNT = 0, 1, 2, 3


def diagnose(
    account: Annotated[str, typer.Argument(help="Name of the account on the cluster.")],
    config_path: options.ConfigOption = None,
    offering: options.OfferingOption = "",
    json_output: options.JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Add the unit conversions and the reason of every difference.")
    ] = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Compare one account with what Waldur says, and print the commands that mend it (sacctmgr, mam).

    It is the plan restricted to one account, its parents and its members. Changes nothing.

    Exit codes: 0 ok, 1 error, 2 mismatch, 3 no such account.
    """
    config = options.configuration(config_path)
    reports: list[tuple[Cluster, Report]] = []
    problems: list[ReconcileError] = []
    served = options.chosen_clusters(config, offering)
    for cluster in served:
        try:
            with options.progress(verbose=False) as progress:
                planned = cluster.plan(usage=False, counts=True, progress=progress)
                report = explain(planned, account, cluster.backend)
                if report is None:
                    continue
                reports.append((cluster, report))
        except ReconcileError as error:
            problems.append(ReconcileError(f"cluster {cluster.label}: {error.message}", error.hint))
    for problem in problems:
        options.complain(problem.message, problem.hint)
    # a managed account wins over one that merely has the name on another cluster
    reports.sort(key=lambda pair: pair[1].resource is None)
    if not reports:
        if problems:
            raise typer.Exit(ERROR)
        raise _missing(account, served[0].backend.listing)
    cluster, report = reports[0]
    faults = options.faults()
    if json_output:
        typer.echo(diagnosis.as_json(report, cluster.cluster))
    else:
        text = diagnosis.as_text(report, cluster.cluster, faults, verbose=verbose)
        options.output(no_color=no_color).print(text, end="")
    if faults.found:
        raise typer.Exit(ERROR)
    raise typer.Exit(OK if report.status in ("ok", "unmanaged") else MISMATCH)


class NoSuchAccountError(ReconcileError):
    """Neither side knows the name."""

    exit_code = NO_SUCH_ACCOUNT


def _missing(account: str, listing: str) -> NoSuchAccountError:
    return NoSuchAccountError(
        f"account {account!r}: neither the cluster nor Waldur knows it",
        f"Names: {listing}; resources: `reconcile plan` lists what is refused or waiting.",
    )
