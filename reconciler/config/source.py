"""From a document to the configuration: ``${ENV}``, ``*_file`` secrets, all errors at once, each with its place."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.config import dwdi
from reconciler.config.backend import cluster_backends
from reconciler.config.block import Section
from reconciler.config.lines import Document, KeyPath, Reread
from reconciler.config.models import FILE_SCHEME, Config, Offering
from reconciler.config.secrets import (
    REFERENCE,
    SECRETS,
    VARIABLES,
    exposure,
    is_path,
    is_plain,
    secret_file,
    secrets_of,
    unencrypted,
)
from reconciler.config.settings import BackendSettings
from reconciler.errors import ConfigError

#: settings whose digits are octal, with or without quotes
OCTAL = frozenset({"homedir_umask", "default_homedir_umask"})
DEFAULT_NAME = "waldur-site-agent-config.yaml"
SYSTEM_DIRECTORY = Path("/etc/waldur")
ENVIRONMENT_PATH = "WALDUR_SITE_AGENT_CONFIG"


def default_path() -> Path:
    """Where the configuration is without ``--config``: environment, system directory, here."""
    if named := os.environ.get(ENVIRONMENT_PATH):
        return Path(named)
    system = SYSTEM_DIRECTORY / DEFAULT_NAME
    return system if system.exists() else Path(DEFAULT_NAME)


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises :class:`ConfigError` that lists every problem."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such configuration file",
            f"Name one with --config, or put it at {SYSTEM_DIRECTORY / DEFAULT_NAME}.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return _FileReader(path, text).config()


class Reader:
    """Makes a configuration of a document; collects problems and says where each is."""

    def __init__(self, path: Path, data: dict[str, Any]) -> None:
        self.path = path
        self.data = data
        self.problems: list[tuple[int, str]] = []
        self.warnings: list[str] = []
        self.plain: list[str] = []  # secrets that stand in the document itself
        self.secret_files: list[Path] = []
        self.secrets: list[str] = []
        self.reread: dict[KeyPath, Reread] = {}
        self._told: set[KeyPath] = set()

    def place(self, path: KeyPath) -> tuple[int, str]:
        """Where a key is: a number to sort by, and what the operator reads."""
        return 0, str(self.path)

    def name(self, path: KeyPath) -> str:
        """What the operator calls a key."""
        return ".".join(str(p) for p in path)

    def problem(self, path: KeyPath, text: str) -> None:
        """Note a problem at a key."""
        name = self.name(path)
        number, where = self.place(path)
        self.problems.append((number, f"{where}: {name}: {text}" if name else f"{where}: {text}"))

    def variable(self, name: str) -> str | None:
        """What stands for ``${NAME}``."""
        return os.environ.get(name)

    def exposed(self) -> str:
        """What to say where others can read secrets in the document."""
        return ""

    def config(self) -> Config:
        """The checked configuration, or one error with everything that is wrong."""
        self._as_written()
        data = self._expand(self.data, ())
        unused = sorted(set(self._keys(data, Config, ())))
        try:
            config = Config.model_validate(data)
        except ValidationError as error:
            for detail in error.errors():
                self._pydantic(detail)
        self._consistent(data)
        if self.problems:
            found = sorted(set(self.problems))
            lines = "\n".join(text for _, text in found)
            raise ConfigError(f"{lines}\n{len(found)} problem{'s' * (len(found) > 1)} in the configuration.")
        for number, offering in enumerate(config.offerings):
            self._legacy(offering.backend_settings, number)
            self._served(offering, number)
            self._encrypted(offering, number)
        if unused:
            self.warnings.append(f"not used by this version, ignored: {', '.join(unused)}")
        if exposed := self.exposed():
            self.warnings.append(exposed)
        config._path = self.path  # private attributes are how pydantic carries non-fields
        config._plain = tuple(self.plain)
        config._secret_files = tuple(self.secret_files)
        config._secrets = tuple(self.secrets)
        config._warnings = tuple(self.warnings)
        return config

    def _as_written(self) -> None:
        """What YAML takes for something else than what is written: octal digits are kept, all else is refused."""
        for path, found in self.reread.items():
            annotation = _annotation(Config, path)
            if path[-1] in OCTAL and annotation is not None:
                _put(self.data, path, found.text)
            elif annotation is not None and not (found.switch and bool in get_args(annotation)):
                secret = SECRETS.intersection(map(str, path))
                self.problem(path, "has to be in quotes" if secret else found.problem)
                self._told.add(path)

    def _pydantic(self, detail: ErrorDetails) -> None:
        path = tuple(p for p in detail["loc"] if not (isinstance(p, str) and p.startswith(("function-", "constr"))))
        if path in self._told:
            return
        text = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "too_short" and self.data.get("offerings"):
            return  # the offerings are there, each with problems of its own
        found = detail["input"]
        secret = any(str(p) in (*SECRETS, *dwdi.PRIVATE, "waldur_api_url") for p in path)
        if detail["type"] in ("missing", "string_too_short"):
            text = "missing, and required"
        elif not isinstance(found, dict | list | Section) and repr(found) not in text and not secret:
            text = f"{text} (found {found!r})"
        self.problem(path, text)

    def _expand(self, value: Any, path: KeyPath) -> Any:
        """Fill in ``${ENV}`` references and the contents of ``*_file`` secrets."""
        if isinstance(value, str):
            return REFERENCE.sub(lambda m: self._environment(m[1], path), value)
        if isinstance(value, list):
            return [self._expand(v, (*path, i)) for i, v in enumerate(value)]
        if not isinstance(value, dict):
            return value
        result: dict[Any, Any] = {}
        for key, inner in value.items():
            here = (*path, str(key))
            expanded = self._expand(inner, here)
            if isinstance(inner, str) and is_plain(str(key), inner):
                self.plain.append(str(key))
            base = str(key).removesuffix("_file")
            if base != key and base in SECRETS:
                if value.get(base):
                    self.problem(here, f"give {base} or {key}, not both")
                result[base] = self._secret(expanded, here)
                self.secrets += secrets_of(base, result[base])
            elif key not in result:
                result[key] = expanded
                self.secrets += secrets_of(str(key), expanded) if isinstance(expanded, str) else ()
        return result

    def _environment(self, name: str, path: KeyPath) -> str:
        value = self.variable(name)
        if path and path[-1] in SECRETS:
            VARIABLES.add(name)
        if value is None:
            self.problem(path, f"environment variable {name} is not set")
        return value or ""

    def _secret(self, name: Any, path: KeyPath) -> str:
        file = secret_file(str(name))
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else "") or "it is no text"
            named = f"{file}: " if is_path(str(name)) else ""
            self.problem(
                path, f"{named}cannot be read: {why} (it has to be the path of a file, or a credential's name)"
            )
            return "unreadable"
        if not text:
            self.problem(path, "the file is empty")
        self.secret_files.append(file)
        return text

    def _keys(self, data: Any, model: type[Section], path: KeyPath) -> Iterator[str]:
        """Yield known but unused keys; unknown ones become problems or warnings."""
        if not isinstance(data, dict):
            return
        known: dict[str, Any] = {}
        for name, info in model.model_fields.items():
            known[name] = info.annotation
        for key, value in data.items():
            here = (*path, str(key))
            if str(key) in model.UNUSED:
                if value not in (None, "", [], {}):  # of what is empty nobody expects anything
                    yield str(key)
            elif str(key) in known:
                for inner, at in _sections(known[str(key)], value):
                    yield from self._keys(at[0], inner, (*here, *at[1]))
            else:
                self._unknown(str(key), [*known, *model.UNUSED], here)

    def _unknown(self, key: str, known: list[str], path: KeyPath) -> None:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.75)
        if close:
            self.problem(path, f"unknown key; did you mean {close[0]!r}?")
        else:
            self.warnings.append(f"{self.place(path)[1]}: unknown key {key!r}, ignored")

    def _consistent(self, data: dict[str, Any]) -> None:
        """What no single key shows, looked at in the raw data so that it is told with all other problems."""
        seen: dict[str, int] = {}
        offerings = data.get("offerings")
        for number, offering in enumerate(offerings if isinstance(offerings, list) else ()):
            if not isinstance(offering, dict):
                continue
            here: KeyPath = ("offerings", number)
            uuid = str(offering.get("waldur_offering_uuid") or "").replace("-", "").lower()
            for what in {str(offering.get("name") or ""), uuid} - {""}:
                if what in seen:
                    self.problem(here, f"offering {what!r} is the same as number {seen[what] + 1}")
                seen.setdefault(what, number)
            for key in _missing(offering):
                self.problem((*here, *key.split(".")), "missing, and required")
            components = offering.get("backend_components")
            for name, component in components.items() if isinstance(components, dict) else ():
                if isinstance(component, dict) and not component.get("measured_unit") and not component.get("unit"):
                    self.problem((*here, "backend_components", str(name), "measured_unit"), "missing, and required")

    def _legacy(self, settings: BackendSettings, number: int) -> None:
        key = "homedir_umask" if settings.default_homedir_umask is None else "default_homedir_umask"
        mask = getattr(settings, key)
        if mask is not None and int(mask, 8) & 0o700:
            _, where = self.place(("offerings", number, "backend_settings", key))
            self.warnings.append(
                f'{where}: {key} "{mask}" as a umask would lock the owner out; read as the mode it '
                f'was meant to be: homes are {settings.home_mode:04o} (write default_homedir_umask: "0077" instead)'
            )

    def _served(self, offering: Any, number: int) -> None:
        where = self.place(("offerings", number))[1]
        what = {"orders": offering.order_backend, "membership": offering.membership_backend}
        served = ("", *cluster_backends())
        unserved = [f"{part} with {backend}" for part, backend in what.items() if backend not in served]
        if offering.reporting and not offering.reports:
            unserved.append(f"usage with {offering.reporting}")
        if unserved:
            self.warnings.append(
                f"{where}: offering {offering.name!r} has {', '.join(unserved)}, which this version does not serve; "
                "that part is skipped"
            )

    def _encrypted(self, offering: Offering, number: int) -> None:
        settings = offering.backend_settings
        addresses = {"waldur_api_url": offering.waldur_api_url}
        if offering.reporting in dwdi.REPORTING_BACKENDS:
            addresses["backend_settings.cscs_dwdi_api_url"] = settings.cscs_dwdi_api_url
            addresses["backend_settings.cscs_dwdi_oidc_token_url"] = settings.cscs_dwdi_oidc_token_url
        for key, url in addresses.items():
            if host := unencrypted(url):
                where = self.place(("offerings", number, *key.split(".")))[1]
                self.warnings.append(
                    f"{where}: {key} is plain http to {host}: whoever is on the way reads the token; use https://"
                )


class _FileReader(Reader):
    """A configuration file: every key has its line."""

    def __init__(self, path: Path, text: str) -> None:
        self.document = Document(path, text, "expected a mapping with the key 'offerings'")
        super().__init__(path, self.document.data)
        self.reread = self.document.reread
        self.problems += self.document.problems

    def place(self, path: KeyPath) -> tuple[int, str]:
        line = self.document.line(path)
        return line, f"{self.path}:{line}"

    def exposed(self) -> str:
        return exposure(self.path, tuple(self.plain))


def _missing(offering: dict[str, Any]) -> list[str]:
    """Keys that an offering of its kind cannot do without."""
    missing = []
    if not str(offering.get("waldur_api_url") or "").startswith(FILE_SCHEME):
        missing += [k for k in ("waldur_api_token", "waldur_offering_uuid") if not offering.get(k)]
    chosen = [offering.get(k) for k in ("order_processing_backend", "membership_sync_backend", "reporting_backend")]
    if all(c is None for c in chosen):
        chosen = [offering.get("backend_type")] * 3
        if not chosen[0]:
            missing.append("backend_type")
    settings = offering.get("backend_settings")
    settings = settings if isinstance(settings, dict) else {}
    kinds = {str(c).lower() for c in chosen[:2]} & {"slurm", "moab"}
    if kinds and settings.get("account_prefix") is None:
        needed = ["allocation_prefix", "project_prefix"]
        flat = settings.get("parent_account") or (kinds == {"moab"} and not _customers(settings))
        needed += [] if flat else ["customer_prefix"]
        missing += [f"backend_settings.{k}" for k in needed if settings.get(k) is None]
    missing += [f"backend_settings.{k}" for k in dwdi.missing(str(chosen[2]).lower(), settings)]
    return missing


def _customers(settings: dict[str, Any]) -> bool:
    """Whether customers have accounts in MAM."""
    about = settings.get("moab")
    return isinstance(about, dict) and bool(about.get("customer_accounts"))


def _annotation(model: type[Section], path: KeyPath) -> Any:
    """The type of what stands at a path, optional or not; None where anything may stand, or nothing is used."""
    info = model.model_fields.get(str(path[0])) if path else None
    if info is None:
        return None
    kind: Any = info.annotation
    rest = path[1:]
    for inner in (kind, *get_args(kind)):
        if isinstance(inner, type) and issubclass(inner, Section):
            named = getattr(kind, "__origin__", None) in (dict, tuple)
            if named and len(rest) == 1:
                return str | None  # the name of a section
            return _annotation(inner, rest[1:] if named else rest)
    return None if object in get_args(kind) else kind | None


def _put(data: Any, path: KeyPath, value: object) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _sections(annotation: Any, value: Any) -> Iterator[tuple[type[Section], tuple[Any, KeyPath]]]:
    """Models inside an annotation (plain, optional, list or mapping) with the data that belongs to them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation, (value, ())
        return
    origin_is_map = getattr(annotation, "__origin__", None) is dict
    for inner in get_args(annotation):
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            continue
        if origin_is_map and isinstance(value, dict):
            for key, item in value.items():
                yield inner, (item, (str(key),))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield inner, (item, (number,))
        elif isinstance(value, dict):
            yield inner, (value, ())
