"""This host: the configuration file, other files of secrets, the time zone, the state directory, the store."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from reconciler.config import Config
from reconciler.config.secrets import exposure, readers
from reconciler.errors import ReconcileError
from reconciler.providers.finding import Finding, Level, asked
from reconciler.store import store_of
from reconciler.store.freezes import ONE_STATE, Freezer, labels, unbound

_ENOUGH, _TOO_LITTLE = 100 << 20, 10 << 20  # bytes free for the journal
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def findings(config: Config) -> Iterator[Finding]:
    """All of it."""
    yield from _configuration(config)
    zone = datetime.now(ZoneInfo(config.timezone))
    yield Finding("this host", "time zone", Level.OK, f"{config.timezone}: it is {zone:%Y-%m-%d %H:%M %z}")
    yield from _state_dir(config.reconcile.state_dir)
    for other in unbound(config, labels(config)):
        text = f"{other.text}; ours is {config.reconcile.state_dir}: neither's freezes and locks bind the other"
        yield Finding("this host", "another state directory", Level.WARNING, text, ONE_STATE)
    yield _store(config)
    yield _frozen(config)


def _configuration(config: Config) -> Iterator[Finding]:
    path = config.path
    if not path.is_file():  # the variables of waldur-slurm-agent
        yield Finding("this host", "configuration", Level.OK, f"taken from: {path}")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _WRITABLE:
        text = f"{path} can be changed by others than its owner (mode {mode:04o})"
        yield Finding("this host", "configuration", Level.ERROR, text, f"chmod 600 {path}")
    elif exposed := exposure(path, config.plain_secrets):
        text, _, hint = exposed.rpartition(": ")
        yield Finding("this host", "configuration", Level.WARNING, text, hint)
    else:
        yield Finding("this host", "configuration", Level.OK, f"{path} (mode {mode:04o})")
    for file in config.secret_files:
        if who := readers(file):
            text = f"{file} holds a secret and is readable by {who}"
            yield Finding("this host", "secrets", Level.WARNING, text, f"chmod 600 {file}")


def _state_dir(path: Path) -> Iterator[Finding]:
    check, subject = "state directory", "this host"
    remedy = "Run as the user that may write there, or set reconcile.state_dir (as a service: StateDirectory=)."
    try:
        there = next(p for p in (path, *path.parents) if p.exists())
        about = there.stat()
        free = shutil.disk_usage(there).free
    except (OSError, StopIteration) as error:
        yield Finding(subject, check, Level.ERROR, f"{path}: {error}", remedy)
        return
    if not there.is_dir():
        yield Finding(subject, check, Level.ERROR, f"{there} is no directory", remedy)
    elif not os.access(there, os.W_OK | os.X_OK):
        what = "cannot be written" if there == path else f"cannot be made: {there} cannot be written"
        yield Finding(subject, check, Level.ERROR, f"{path} {what} by user id {os.geteuid()}", remedy)
    elif there != path:
        yield Finding(subject, check, Level.OK, f"{path} will be made below {there}")
    elif about.st_mode & _WRITABLE:
        text = f"{path} can be written by others than its owner (mode {stat.S_IMODE(about.st_mode):04o})"
        yield Finding(subject, check, Level.WARNING, text, f"chmod 700 {path}")
    else:
        yield Finding(subject, check, Level.OK, f"{path} (mode {stat.S_IMODE(about.st_mode):04o})")
    if free < _ENOUGH:
        level = Level.ERROR if free < _TOO_LITTLE else Level.WARNING
        hint = "Free some, or set reconcile.state_dir: without its journal apply does nothing."
        yield Finding(subject, "free space", level, f"{free >> 20} MiB at {there}", hint)
    else:
        yield Finding(subject, "free space", Level.OK, f"{free >> 30} GiB at {there}")


def _frozen(config: Config) -> Finding:
    freezer = Freezer(store_of(config), config.reconcile.maintenance, config.timezone)
    try:
        found = freezer.frozen(labels(config), datetime.now(UTC))
    except ReconcileError as error:
        return Finding("this host", "freeze", Level.ERROR, error.message, error.hint)
    if found is not None:
        return Finding("this host", "freeze", Level.WARNING, f"apply is {found.text}", f"To go on: {found.lifted_by}")
    return Finding("this host", "freeze", Level.OK, "nothing is frozen")


def _store(config: Config) -> Finding:
    store = store_of(config)

    def read() -> str:
        if not store.exists():
            return f"{store.place}: not made yet, the first apply does"
        with store.reading():
            return f"{store.place} answers"

    try:
        return asked("this host", "store", read)
    finally:
        store.dispose()
