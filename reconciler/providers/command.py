"""A command as data: what a provider would run for which objects."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.state.model import Address


@dataclass(frozen=True)
class Command:
    """One call. ``parallel``: it only sets values, so others of its kind may run beside it.

    ``alternative`` holds the same work as smaller commands, for naming what fails.
    """

    program: str
    arguments: tuple[str, ...]
    addresses: tuple[Address, ...]
    parallel: bool = False
    stdin: str | None = None
    alternative: tuple[Command, ...] = ()
