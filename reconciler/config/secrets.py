"""Secrets of the configuration file: where they may stand, and whether others can read them there."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

#: keys whose values are secret, or may hold a password; each may be given as KEY_file
SECRETS = frozenset(
    {
        "waldur_api_token",
        "oidc_client_secret",
        "cscs_dwdi_client_secret",
        "sentry_dsn",
        "socks_proxy",
        "global_proxy",
        "store",
    }
)
#: variables of this process whose values are secret: no command that is started gets them
VARIABLES = {"WALDUR_API_TOKEN", "SENTRY_DSN"}
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"  # where systemd puts what LoadCredential= names
_PRIVATE = re.compile(r"(password|passwd|passphrase|secret|token|api_?key|private_?key|dsn)$", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z0-9]{0,24}([-._@+~ ]+[A-Za-z0-9]{0,24})*")
_TOKEN = re.compile(r"[0-9]|[A-Z].*[a-z].*[A-Z]|[^-._]{17}")
_PASSWORD = re.compile(r"://[^/@\s:]*:(?P<password>[^\s]*)@")
_ADDRESSES = frozenset({"socks_proxy", "global_proxy", "store"})


def is_plain(key: str, value: str) -> bool:
    """Whether a value, as the file has it, holds a secret in plain text and not just a reference to one."""
    if key in SECRETS - _ADDRESSES:
        return bool(REFERENCE.sub("", value).strip())
    found = _PASSWORD.search(value)
    return bool(found and REFERENCE.sub("", found["password"]))


def secret_file(name: str) -> Path:
    """The file that ``KEY_file: name`` means: a systemd credential of this name, where there is one."""
    path = Path(name)
    directory = os.environ.get(CREDENTIALS_DIRECTORY)
    if directory and not path.is_absolute() and (credential := Path(directory) / path).is_file():
        return credential
    return path


def is_path(name: str) -> bool:
    """Whether a name may be repeated: the secret itself may have been written where a file belongs."""
    if "://" in name or len(name) > 255 or any(c.isspace() or not c.isprintable() for c in name):
        return False
    parts = [part for part in name.split("/") if part]
    # base64 has slashes too; names of files are short or made of words
    return all(_WORDS.fullmatch(part) for part in parts) and (
        name.startswith(("/", "./", "../")) or not _TOKEN.search(name)
    )


def readers(path: Path) -> str:
    """Who besides its owner may read a file: ``group``, ``others``, both, or nobody ("")."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    who = {"group": stat.S_IRGRP, "others": stat.S_IROTH}
    return " and ".join(name for name, bit in who.items() if mode & bit)


def exposure(path: Path, plain: tuple[str, ...]) -> str:
    """What to say of a file that shows secrets to others; empty where it does not."""
    who = readers(path) if plain else ""
    if not who:
        return ""
    mode = f"{stat.S_IMODE(path.stat().st_mode):04o}"
    return (
        f"{path} holds {', '.join(sorted(set(plain)))} in plain text and is readable by {who} (mode {mode}): "
        f"chmod 600 {path}, or move the secret to a file or a systemd credential"
    )


def secrets_in(value: object) -> Iterator[str]:
    """Every secret of a configuration, as it was resolved."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        yield from secrets_in(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from secrets_in(one)


def secrets_of(key: str, value: str) -> Iterator[str]:
    """What is secret in the value of a key, also of one that this program does not use."""
    if key == "sentry_dsn":
        with suppress(ValueError):
            yield urlsplit(value).username or ""
    if _PRIVATE.search(key) or _PASSWORD.search(value):
        yield value


def unencrypted(url: str) -> str:
    """The host that a plain http address sends secrets to over a network, or nothing."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return ""
    if parts.scheme.lower() != "http" or not host or host == "localhost" or host.endswith(".localhost"):
        return ""
    try:
        return "" if ipaddress.ip_address(host).is_loopback else host
    except ValueError:
        return host
