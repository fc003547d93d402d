"""The old agent's configuration written as a file of ours."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from reconciler.config import envfile, legacy
from reconciler.config.envfile import Variables
from reconciler.errors import ConfigError


@dataclass(frozen=True)
class Converted:
    """A configuration file's text, and what is to be known about it."""

    text: str
    warnings: tuple[str, ...]


def convert(files: Sequence[Path], components: Path | None) -> Converted:
    """The file that means what the environment, or files of variables, and the components file mean.

    The files are those of one site: what sends to Waldur and what fetches from it may be in two of them. Raises
    :class:`ConfigError` that lists every problem.
    """
    variables = Variables(dict(os.environ))
    if files:
        read = [legacy.known(envfile.read(path)) for path in files]
        variables = envfile.merge(read, may_differ=frozenset({legacy.DIRECTION}), silent=legacy.SECRETS)
    found = legacy.read(variables, components, token_needed=False)
    body = yaml.safe_dump(found.document, sort_keys=False, allow_unicode=True, width=120)
    header = "".join(f"# {line}".rstrip() + "\n" for line in _header(variables, found))
    return Converted(header + body, found.config.warnings)


def _header(variables: Variables, found: legacy.Legacy) -> list[str]:
    lines = [
        "Made by `reconcile config convert` from the configuration of waldur-slurm-agent:",
        f"  variables:  {_printable(variables.source)}",
        f"  components: {_printable(str(found.components))}",
        "",
        f"The token is not in this file: provide it as environment variable {legacy.TOKEN},",
        "or replace the key by waldur_api_token_file and the path of a file that only reconcile can read.",
    ]
    if "sentry_dsn" in found.document:
        lines.append("The Sentry DSN is not here either: SENTRY_DSN, or sentry_dsn_file.")
    return [
        *lines,
        "",
        "waldur-slurm-agent wrote amounts to SLURM as they were, in CPU-minutes, MB-minutes and GPU-minutes, whatever",
        "measured_unit said: so every unit_factor is 1. Where amounts in Waldur are in measured_unit, it is 60000 for",
        "k-Hours of cpu, 61440 for GB-hours of mem, 60 for hours of gres/gpu.",
    ]


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def write(path: Path, text: str) -> None:
    """Write a new file that only its owner reads. What exists is never replaced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: exists already, nothing was written", "Name a new file with --out.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
