"""``reconcile doctor``: is everything there that a cycle needs, and what to do where it is not."""

from __future__ import annotations

import json

import typer

from reconciler.cli import options
from reconciler.doctor import Finding, Level, examine, worst
from reconciler.errors import ConfigError
from reconciler.render import doctor as render


def doctor(
    config_path: options.ConfigOption = None,
    json_output: options.JsonOption = False,
    no_color: options.NoColorOption = False,
) -> None:
    """Check everything that a cycle needs, and say what to do; changes nothing.

    This host (files, secrets, state directory, store), each offering in Waldur (token, role, clocks, components,
    orders), each cluster (commands, daemons, rights, a whole view) and each source of usage.

    Exit code 0: all is well, 1: something does not work, 2: only warnings.
    """
    console = options.output(no_color=no_color)
    findings: list[Finding] = []

    def show(found: Finding) -> None:
        findings.append(found)
        if not json_output:
            for text, style in render.lines([found]):
                console.print(text, style=style or None)

    try:
        config = options.configuration(config_path)
    except ConfigError as error:
        problems = [p for p in error.message.splitlines() if not p.endswith(" in the configuration.")]
        for line in problems or [error.message]:
            show(Finding("this host", "configuration", Level.ERROR, line, error.hint or "Correct it there."))
    else:
        for found in examine(config):
            show(found)
    if json_output:
        answer = {"format_version": "1.0", "findings": render.rows(findings), "exit_code": worst(findings)}
        typer.echo(json.dumps(answer, indent=2))
    else:
        console.print(f"\n{render.summary(findings)}", style="bold")
    raise typer.Exit(worst(findings))
