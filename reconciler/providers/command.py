"""A command as data: what a provider would run for which objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reconciler.state.model import Address


class Once(Protocol):
    """How a call that does harm when it is made twice is held to its plan, by a look directly before and after it."""

    def before(self) -> tuple[str, ...] | None:
        """The arguments to make it with, or None where it is not needed any more.

        Raises ``ReconcileError`` where the object is no longer as the plan found it: then the call is not made.
        """

    def after(self) -> None:
        """Raises ``ReconcileError`` where the object is not as the call should have made it."""


@dataclass(frozen=True)
class Asked:
    """A word of a call that the answer of another one tells, for whoever types both.

    ``word`` stands for it; ``select`` is what sed(1) makes of the answer.
    """

    word: str
    program: str
    arguments: tuple[str, ...]
    select: str


@dataclass(frozen=True)
class Command:
    """One call. ``parallel``: it only sets values, so others of its kind may run beside it.

    ``alternative`` holds the same work as smaller commands, for naming what fails. ``once``: it must not be made twice;
    ``arguments`` are then those to show, and a word of them may be ``asked``.
    """

    program: str
    arguments: tuple[str, ...]
    addresses: tuple[Address, ...]
    parallel: bool = False
    stdin: str | None = None
    alternative: tuple[Command, ...] = ()
    once: Once | None = None
    asked: Asked | None = None
