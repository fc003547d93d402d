"""The ``reconcile`` program: commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer

from reconciler import __version__
from reconciler.cli import components, config, limits, options, usage
from reconciler.cli.apply import apply
from reconciler.cli.diagnose import diagnose
from reconciler.cli.doctor import doctor
from reconciler.cli.freezing import freeze, unfreeze
from reconciler.cli.history import history
from reconciler.cli.importing import import_
from reconciler.cli.plan import plan
from reconciler.cli.rollback import rollback
from reconciler.cli.stream import outputs
from reconciler.errors import ReconcileError

ERROR = 1

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make an HPC cluster what Waldur says it should be: plan, apply, diagnose.",
)
app.command()(plan)
app.command()(apply)
app.command()(diagnose)
app.command(name="import")(import_)
app.command()(history)
app.command()(rollback)
app.command()(freeze)
app.command()(unfreeze)
app.command()(doctor)
app.add_typer(components.app, name="components")
app.add_typer(usage.app, name="usage")
app.add_typer(limits.app, name="limits")
app.add_typer(config.app, name="config")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"reconcile {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Make an HPC cluster what Waldur says it should be: plan, apply, diagnose."""


def run(arguments: list[str] | None = None) -> None:
    """Run the program; always ends in ``SystemExit``, never in a traceback."""
    with outputs() as (out, _):
        code = _run(arguments)
        out.flush()
        if out.problem:
            options.complain(f"standard output cannot be written: {out.problem}; what came after that is lost")
            # what was refused, blocked or stopped stays so; "done" and "differs" are answers that nobody saw
            code = ERROR if code in (0, 2) else code
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    command: Any = typer.main.get_command(app)
    try:
        return int(command.main(args=arguments, prog_name="reconcile", standalone_mode=False) or 0)
    except ReconcileError as error:
        options.complain(error.message, error.hint)
        return getattr(error, "exit_code", ERROR)
    except (KeyboardInterrupt, EOFError):
        options.errors().print("Interrupted.")
        return 130
    except Exception as error:  # noqa: BLE001  # the last line of defence against a traceback at 3 a.m.
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    show = getattr(error, "show", None)
    if callable(show):  # a usage error; 2 would read as "changes" with --detailed-exitcode
        show()
        return ERROR
    if type(error).__name__ == "Abort":
        options.errors().print("Interrupted.")
        return 130
    options.debug("".join(traceback.format_exception(error)))
    options.complain(
        f"internal error: {type(error).__name__}: {error}",
        f"This is a defect of reconcile; nothing more was done. {options.REPORT}",
    )
    return ERROR
