"""``reconcile config``: check the file, print its schema, convert the configuration of waldur-slurm-agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli import options
from reconciler.config import convert as converting
from reconciler.config import schema as describing
from reconciler.doctor import online
from reconciler.errors import ConfigError
from reconciler.render import doctor as render

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check the configuration file, print its JSON Schema, or make one.",
)


@app.command()
def check(
    config_path: options.ConfigOption = None,
    ask: Annotated[
        bool, typer.Option("--online", help="Also ask Waldur, the cluster and DWDI whether they answer.")
    ] = False,
    json_output: options.JsonOption = False,
) -> None:
    """Validate the configuration file; contacts nothing without --online. Exit code 0: usable, 1: not."""
    try:
        config = options.configuration(config_path)
    except ConfigError as error:
        if not json_output:
            raise
        errors = error.message.splitlines()
        typer.echo(json.dumps({"format_version": "1.0", "valid": False, "errors": errors}, indent=2))
        raise typer.Exit(1) from None
    findings = list(online(config)) if ask else []
    code = 0 if all(f.ok for f in findings) else 1
    if json_output:
        typer.echo(
            json.dumps(
                {
                    "format_version": "1.0",
                    **({"findings": render.rows(findings)} if ask else {}),
                    "path": str(config.path),
                    "valid": True,
                    "warnings": list(config.warnings),
                    "offerings": [
                        {
                            "name": o.name,
                            "uuid": o.waldur_offering_uuid,
                            "order_processing_backend": o.order_backend,
                            "membership_sync_backend": o.membership_backend,
                            "reporting_backend": o.reporting,
                            "cluster": o.backend_settings.cluster_name or "",
                        }
                        for o in config.offerings
                    ],
                },
                indent=2,
            )
        )
        raise typer.Exit(code)
    console = options.output()
    console.print(f"{config.path}: valid", style="green")
    for o in config.offerings:
        cluster = o.backend_settings.cluster_name or "the only one"
        console.print(
            f"  {o.name}: orders {o.order_backend or 'off'}, members {o.membership_backend or 'off'}, "
            f"usage {o.reporting or 'off'}, cluster {cluster}"
        )
    for text, style in render.lines(findings):
        console.print(text, style=style or None)
    raise typer.Exit(code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors and other checkers."""
    typer.echo(json.dumps(describing.schema(), indent=2))


@app.command()
def convert(
    env_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--env-file",
            help="A file of the old agent's variables (NAME=value, as systemd and Docker read them) instead of this "
            "process's environment. Repeat it to make one configuration of service-pull's and service-push's file.",
            show_default=False,
        ),
    ] = None,
    components: Annotated[
        Path | None,
        typer.Option(
            "--components",
            help="The old agent's components file. Default: SLURM_TRES_CONFIG_PATH, then ./config-components.yaml.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write to this new file (mode 0600) instead of standard output.", show_default=False
        ),
    ] = None,
) -> None:
    """Turn the configuration of waldur-slurm-agent into a configuration file, as YAML.

    Reads its environment variables and its components file; contacts nothing. The token is never written: the file
    refers to ${WALDUR_API_TOKEN}, which has to be in the environment of reconcile.

    WALDUR_SYNC_DIRECTION=pull (Waldur to SLURM) becomes order processing and membership, push (SLURM to Waldur)
    becomes usage reporting, both files or neither value all three. SLURM_DEPLOYMENT_TYPE=docker, the default,
    becomes reconcile.runner.container.

    Example: reconcile config convert --env-file pull.env --env-file push.env --components tres.yaml --out config.yaml
    """
    made = converting.convert(env_file or [], components)
    console = options.errors()
    for warning in made.warnings:
        console.print(f"Warning: {warning}", style="yellow")
    if out:
        converting.write(out, made.text)
        console.print(f"Written: {out}. Check it with: reconcile config check --config {out}")
    else:
        typer.echo(made.text, nl=False)
