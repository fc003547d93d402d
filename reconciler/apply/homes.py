"""Home directories are made one by one, and proven by another look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.apply.record import Record
from reconciler.errors import ReconcileError
from reconciler.providers import host
from reconciler.providers.runner import CommandRunner
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS, Stage
from reconciler.state.model import State


def write(runner: CommandRunner, record: Record) -> None:
    """Make what the plan wants made; what is there already is corrected in its mode alone."""
    ready = record.ready(c for c in record.plan.changes if KINDS[c.address.kind].stage is Stage.HOST)
    if not ready:
        return
    try:
        known = host.accounts(runner, _names(ready))
    except ReconcileError as error:
        _fail_all(record, ready, error.message)
        return
    for change in ready:
        user = change.address.key[0]
        after = change.after or {}
        account = known.get(user)
        if account is None:
            record.fail(change, f"the host does not know user {user} any more")
            continue
        try:
            record.start(change, f"{change.action.value} {after['path']} with mode {after['mode']}")
        except ReconcileError as error:
            record.fail(change, f"not tried: {error.message}")
            continue
        work = host.create if change.action is Action.CREATE else host.correct_mode
        if problem := work(runner, account, str(after["path"]), int(str(after["mode"]), 8)):
            record.fail(change, problem)
        else:
            record.progress(change)
    made = [c for c in ready if c.address in record.outcome.done]
    record.prove(made, lambda: _now(runner, made, known))


def _now(runner: CommandRunner, changes: Iterable[Change], known: Mapping[str, host.Account]) -> State:
    paths = {c.address: str((c.after or {})["path"]) for c in changes}
    entries, _ = host.scanned(runner, paths.values())
    state: State = {}
    for address, path in paths.items():
        user = address.key[0]
        if (account := known.get(user)) is not None:
            base = None if host.home_path(account, None) == path else path.rpartition("/")[0]
            state |= host.actual({user: account}, entries, base)
    return state


def _names(changes: Iterable[Change]) -> set[str]:
    """Users as they are addressed, and as the host writes them."""
    return {name for c in changes for name in (c.address.key[0], str((c.after or {}).get("owner") or ""))} - {""}


def _fail_all(record: Record, changes: Iterable[Change], text: str) -> None:
    for change in changes:
        record.fail(change, text)


def told(runner: CommandRunner, changes: Iterable[Change]) -> State:
    """The homes that a plan changes, as they are at this moment."""
    addresses: list[Change] = [c for c in changes if KINDS[c.address.kind].stage is Stage.HOST]
    if not addresses:
        return {}
    return _now(runner, addresses, host.accounts(runner, _names(addresses)))
