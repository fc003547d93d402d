"""Periodic settings of a SLURM emulator, for trying policies out: its HTTP API, by curl, so that a script shows it.

Source: the ``slurm-emulator`` package: GET ``/api/status``, POST ``/api/apply-periodic-settings``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from reconciler.errors import ReadError
from reconciler.providers.base import Allocation, Reading
from reconciler.providers.command import Command
from reconciler.providers.runner import CommandRunner
from reconciler.providers.slurm import account, kinds
from reconciler.providers.slurm.periodic import FIELDS
from reconciler.providers.slurm.renewal import EARLIER
from reconciler.state import waldur
from reconciler.state.diff import Change
from reconciler.state.model import Desired, Note, Obj, State
from reconciler.state.names import fold
from reconciler.state.values import Value, json_value

_QUIET = ("-sS", "-f")


def read(runner: CommandRunner, url: str) -> State:
    """What the emulator has of its accounts. Raises :class:`ReadError`."""
    result = runner.run("curl", *_QUIET, f"{url}/api/status")
    if result.code != 0:
        hint = "Start the emulator, or set backend_settings.periodic_limits.emulator_mode: false."
        raise ReadError(f"emulator at {url}: {result.said or f'curl ended with {result.code}'}", hint)
    try:
        accounts = json.loads(result.stdout)["accounts"]
        return {kinds.EMULATED.at(fold(name)): Obj(_values(about)) for name, about in accounts.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReadError(f"emulator at {url}: /api/status is no list of accounts: {result.stdout[:200]!r}") from None


def _values(about: dict[str, object]) -> dict[str, Value]:
    limits, share = about["limits"], about["fairshare"]
    if not isinstance(limits, dict) or not isinstance(share, int):
        raise TypeError(about)
    values: dict[str, Value] = {"fairshare": share}
    for kind, field in FIELDS.items():
        named = {key.partition(":")[2]: n for key, n in limits.items() if key.startswith(f"{kind}:")}
        values[field] = {tres: int(n) for tres, n in named.items()}
    return values


def want(desired: Desired, reading: Reading, allocations: Sequence[Allocation]) -> None:
    """The settings of accounts whose offering is in emulator mode, which every plan says."""
    said: set[str] = set()
    for one in allocations:
        offering, terms = one.offering, one.terms
        own = desired.objects.get(kinds.account(one.account))
        settings = offering.backend_settings.periodic_limits
        if terms is None or own is None or not settings.emulator_mode:
            continue
        address = kinds.EMULATED.at(one.account)
        values = account.emulated(one, terms)
        desired.objects[address] = Obj(values, own.reason, own.offerings, needs=own.needs)
        if (present := reading.state.get(address)) is not None:
            period = one.past.renewed or EARLIER
            reading.state[address] = replace(present, values={**present.values, "usage_period": period})
        if offering.name not in said:
            said.add(offering.name)
            text = (
                f"periodic_limits.emulator_mode is on: its limits and fairshare go to {settings.emulator_base_url} and "
                "NOT to the cluster; false for production"
            )
            desired.warnings.append(Note(waldur.offering(offering.name), text, offering.name))


def command(change: Change, url: str) -> Command:
    """The call that applies an account's settings; the emulator keeps what is not named."""
    after, changed = change.after or {}, change.changed()
    body: dict[str, object] = {"resource_id": change.address.key[0]}
    body |= {name: json_value(after[name]) for name in changed if name != "usage_period"}
    if "usage_period" in changed:
        body["reset_raw_usage"] = True
    sent = json.dumps(body)
    arguments = (*_QUIET, "-X", "POST", "-H", "Content-Type: application/json", "-d", sent)
    return Command("curl", (*arguments, f"{url}/api/apply-periodic-settings"), (change.address,))
