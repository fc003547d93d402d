"""``reconcile config``: check the file, print its schema."""

from __future__ import annotations

import json

import typer

from reconciler.cli import options
from reconciler.config import Config
from reconciler.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Check the configuration file, or print its JSON Schema."
)


@app.command()
def check(config_path: options.ConfigOption = None, json_output: options.JsonOption = False) -> None:
    """Validate the configuration file. Contacts nothing. Exit code 0: usable, 1: not."""
    try:
        config = options.configuration(config_path)
    except ConfigError as error:
        if not json_output:
            raise
        errors = error.message.splitlines()
        typer.echo(json.dumps({"format_version": "1.0", "valid": False, "errors": errors}, indent=2))
        raise typer.Exit(1) from None
    if json_output:
        typer.echo(
            json.dumps(
                {
                    "format_version": "1.0",
                    "path": str(config.path),
                    "valid": True,
                    "warnings": list(config.warnings),
                    "offerings": [
                        {
                            "name": o.name,
                            "uuid": o.waldur_offering_uuid,
                            "order_processing_backend": o.order_backend,
                            "membership_sync_backend": o.membership_backend,
                            "reporting_backend": o.reporting_backend or "",
                            "cluster": o.backend_settings.cluster_name or "",
                        }
                        for o in config.offerings
                    ],
                },
                indent=2,
            )
        )
        return
    console = options.output()
    console.print(f"{config.path}: valid", style="green")
    for o in config.offerings:
        cluster = o.backend_settings.cluster_name or "the only one"
        console.print(
            f"  {o.name}: orders {o.order_backend or 'off'}, members {o.membership_backend or 'off'}, "
            f"usage {o.reporting_backend or 'off'}, cluster {cluster}"
        )


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors and other checkers."""
    typer.echo(json.dumps(Config.model_json_schema(), indent=2))
