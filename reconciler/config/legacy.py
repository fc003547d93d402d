"""waldur-slurm-agent's configuration, environment variables and a components file, as one of ours.

What the old agent did, where its documentation and its code (0.2.2) differ, is what counts here: the accounts and
limits on the cluster are what it did.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.config import source
from reconciler.config.envfile import Variables
from reconciler.config.lines import Document, KeyPath
from reconciler.config.models import Config
from reconciler.errors import ConfigError

DIRECTION = "WALDUR_SYNC_DIRECTION"
DEPLOYMENT = "SLURM_DEPLOYMENT_TYPE"
OFFERING_NAME = "waldur-slurm-agent"
COMPONENTS = "config-components.yaml"
NAME_LENGTH = "34"
TOKEN = "WALDUR_API_TOKEN"  # noqa: S105  # the name of a variable
SECRETS = frozenset({TOKEN, "SENTRY_DSN"})
ALLOWED = {
    DIRECTION: ("pull", "push"),
    DEPLOYMENT: ("docker", "native"),
    "REQUESTS_VERIFY_SSL": ("true", "false", "yes", "no", "1", "0"),
    "ENABLE_USER_HOMEDIR_ACCOUNT_CREATION": ("true", "false", "yes", "no"),
}
DEFAULTS = {
    "REQUESTS_VERIFY_SSL": "true",
    "SLURM_TRES_CONFIG_PATH": COMPONENTS,
    DEPLOYMENT: "docker",
    "SLURM_ALLOCATION_NAME_MAX_LEN": NAME_LENGTH,
    "SLURM_DEFAULT_ACCOUNT": "waldur",
    "ENABLE_USER_HOMEDIR_ACCOUNT_CREATION": "false",
}
PREFIXES = ("SLURM_CUSTOMER_PREFIX", "SLURM_PROJECT_PREFIX", "SLURM_ALLOCATION_PREFIX")
VARIABLES = frozenset(
    {
        *ALLOWED,
        *DEFAULTS,
        *PREFIXES,
        *SECRETS,
        "WALDUR_API_URL",
        "WALDUR_OFFERING_UUID",
        "SLURM_CONTAINER_NAME",
    }
)

_OFFERING: KeyPath = ("offerings", 0)
_COMPONENTS: KeyPath = (*_OFFERING, "backend_components")
_NAMES: Mapping[KeyPath, str] = {
    (*_OFFERING, "waldur_api_url"): "WALDUR_API_URL",
    (*_OFFERING, "waldur_api_token"): TOKEN,
    (*_OFFERING, "waldur_offering_uuid"): "WALDUR_OFFERING_UUID",
    (*_OFFERING, "verify_ssl"): "REQUESTS_VERIFY_SSL",
    (*_OFFERING, "backend_settings", "customer_prefix"): "SLURM_CUSTOMER_PREFIX",
    (*_OFFERING, "backend_settings", "project_prefix"): "SLURM_PROJECT_PREFIX",
    (*_OFFERING, "backend_settings", "allocation_prefix"): "SLURM_ALLOCATION_PREFIX",
    (*_OFFERING, "backend_settings", "default_account"): "SLURM_DEFAULT_ACCOUNT",
    ("reconcile", "runner"): "SLURM_CONTAINER_NAME",
    ("reconcile", "runner", "container"): "SLURM_CONTAINER_NAME",
    ("sentry_dsn",): "SENTRY_DSN",
}


def document(environment: Mapping[str, str], components: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration file that means what the old agent's variables and components file mean.

    Secrets are references to the variables that hold them, never values.
    """
    direction = environment.get(DIRECTION, "")
    # the documentation of the old agent has the directions the wrong way round; this is what its code does
    pull = "slurm" if direction != "push" else ""
    push = "slurm" if direction != "pull" else ""
    customer, project, allocation = (environment.get(name, "hpc_") for name in PREFIXES)
    result: dict[str, Any] = {
        "offerings": [
            {
                "name": OFFERING_NAME,
                "waldur_api_url": environment.get("WALDUR_API_URL", ""),
                "waldur_api_token": f"${{{TOKEN}}}",
                "waldur_offering_uuid": environment.get("WALDUR_OFFERING_UUID", ""),
                "verify_ssl": _true(environment, "REQUESTS_VERIFY_SSL"),
                "backend_type": "slurm",
                "order_processing_backend": pull,
                "membership_sync_backend": pull,
                "reporting_backend": push,
                "backend_settings": {
                    # it made customers without naming a parent, so below root; the default account was the users'
                    "root_account": "root",
                    "default_account": _value(environment, "SLURM_DEFAULT_ACCOUNT"),
                    "customer_prefix": customer,
                    "project_prefix": project,
                    "allocation_prefix": allocation,
                    "legacy_account_names": True,
                    "enable_user_homedir_account_creation": _true(environment, "ENABLE_USER_HOMEDIR_ACCOUNT_CREATION"),
                },
                "backend_components": {str(name): _component(one) for name, one in components.items()},
            }
        ],
    }
    if _value(environment, DEPLOYMENT) == "docker":
        result["reconcile"] = {"runner": {"container": environment.get("SLURM_CONTAINER_NAME", "")}}
    if environment.get("SENTRY_DSN"):
        result["sentry_dsn"] = "${SENTRY_DSN}"
    return result


def _component(component: Any) -> Any:
    """A component with the factor that the old agent did not have.

    It wrote limits of orders and of its file into GrpTRESMins as they were (16000 of cpu in 'k-Hours' meant 16000
    CPU-minutes) and reported usage in minutes: ``measured_unit`` was only a label. So the factor is 1. The factors
    of its successor (60000 CPU-minutes in a k-Hour, 61440 MB-minutes in a GB-hour, 60 GPU-minutes in a GPU-hour)
    would multiply every limit that exists.
    """
    return {**component, "unit_factor": component.get("unit_factor", 1)} if isinstance(component, dict) else component


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or DEFAULTS[name]


def _true(environment: Mapping[str, str], name: str) -> bool:
    return _value(environment, name).lower() not in ("false", "no", "0")


def problems(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables with what is wrong about them, beside what every configuration is checked for."""
    for name, allowed in ALLOWED.items():
        value = environment.get(name, "")
        # the old agent compared the first two as they are
        if value and (value if name in (DIRECTION, DEPLOYMENT) else value.lower()) not in allowed:
            yield name, f"must be {' or '.join(allowed)} (found {value!r})"
    length = _value(environment, "SLURM_ALLOCATION_NAME_MAX_LEN")
    if not (length.isascii() and length.isdigit() and int(length) > 0):
        yield "SLURM_ALLOCATION_NAME_MAX_LEN", f"must be a whole number from 1 (found {length!r})"
    if _value(environment, DEPLOYMENT) == "docker" and not environment.get("SLURM_CONTAINER_NAME"):
        default = "" if environment.get(DEPLOYMENT) else ", its default"
        yield "SLURM_CONTAINER_NAME", f"missing, and required when SLURM_DEPLOYMENT_TYPE is docker{default}"


@dataclass(frozen=True)
class Legacy:
    """A checked configuration of the old agent: as a document, and as what it means."""

    document: dict[str, Any]
    config: Config
    components: Path


def read(variables: Variables, components: Path | None = None, *, token_needed: bool = True) -> Legacy:
    """The old agent's configuration. Raises :class:`ConfigError` that lists every problem in both places."""
    path = components or Path(_value(variables.values, "SLURM_TRES_CONFIG_PATH"))
    told = "--components" if components else f"{variables.place('SLURM_TRES_CONFIG_PATH')}: SLURM_TRES_CONFIG_PATH"
    complaint = ""
    try:
        found = Document(path, path.read_text(encoding="utf-8"), "expected a mapping of components")
        if not found.data:
            complaint = f"{path}:1: names no component"
    except ConfigError as error:
        complaint = error.message
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        complaint = f"{told}: {path} cannot be read: {why}"
    reader = _LegacyReader(variables, found if not complaint else Document(path, "{}", ""), token_needed)
    reader.problems += [(0, complaint)] if complaint else []
    return Legacy(reader.data, reader.config(), path)


class _LegacyReader(source.Reader):
    """The checks of every configuration, told in the words of variables and of the components file."""

    def __init__(self, variables: Variables, components: Document, token_needed: bool) -> None:
        super().__init__(Path(variables.source), document(variables.values, components.data))
        self.variables = variables
        self.components = components
        self.token_needed = token_needed
        self.problems += components.problems
        self.reread = {(*_COMPONENTS, *path): found for path, found in components.reread.items()}
        self.problems += [(0, f"{variables.place(n)}: {n}: {text}") for n, text in problems(variables.values)]
        for name, component in components.data.items():
            if isinstance(component, dict) and not component.get("accounting_type"):
                self.problem((*_COMPONENTS, str(name), "accounting_type"), "missing, and required")
        length = _value(variables.values, "SLURM_ALLOCATION_NAME_MAX_LEN")
        if length != NAME_LENGTH:
            self.warnings.append(
                f"{variables.place('SLURM_ALLOCATION_NAME_MAX_LEN')}: SLURM_ALLOCATION_NAME_MAX_LEN has no effect: "
                f"waldur-slurm-agent made no account with it set; names it made are cut at {NAME_LENGTH}"
            )

    def place(self, path: KeyPath) -> tuple[int, str]:
        if path[:3] == _COMPONENTS:
            line = self.components.line(path[3:])
            return line, f"{self.components.path}:{line}"
        return 0, self.variables.place(self.name(path))

    def name(self, path: KeyPath) -> str:
        return super().name(path[3:]) if path[:3] == _COMPONENTS else _NAMES.get(path, super().name(path))

    def variable(self, name: str) -> str | None:
        if name == TOKEN and not self.token_needed:
            return self.variables.values.get(name) or "given-later"
        return self.variables.values.get(name, "") if name in SECRETS else None


def applies(environment: Mapping[str, str]) -> bool:
    """Whether a process was started as the old agent was: no file anywhere, and its variables set."""
    needed = ("WALDUR_API_URL", "WALDUR_OFFERING_UUID")
    named = environment.get(source.ENVIRONMENT_PATH)
    return not named and all(environment.get(n) for n in needed) and not source.default_path().exists()


def load_default() -> Config:
    """What is loaded where no file is named: a file in its usual places, or the old agent's environment."""
    if applies(os.environ):
        return read(Variables(dict(os.environ))).config
    return source.load(source.default_path())


def known(variables: Variables) -> Variables:
    """Only what the old agent read. Raises :class:`ConfigError` for what looks like one of its names misspelt."""
    wrong = [
        f"{variables.place(name)}: {name}: unknown variable; did you mean {close[0]}?"
        for name in variables.values
        if name not in VARIABLES and (close := difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.85))
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return Variables({n: v for n, v in variables.values.items() if n in VARIABLES}, variables.source, variables.places)
