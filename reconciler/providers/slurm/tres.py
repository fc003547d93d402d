"""TRES lists as SLURM writes them (``cpu=1000,gres/gpu=60,mem=7.50T``), as integers in base units.

Source: sacctmgr(1), "TRES"; memory is in MiB without a suffix, K M G T P are powers of 1024 of a KiB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

# exponent of 1024 relative to the base unit, for memory (base MiB) and for everything else (base 1)
_SUFFIX = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
#: SLURM runs out of letters after P, from 1024 PiB on, and prints this: how much it stands for is not told
NO_UNIT = "?"
_MEMORY = frozenset({"mem", "vmem"})
_ITEM = re.compile(r"([a-z]+(?:/[^=,\s]+)?)=(-?\d+(?:\.\d+)?)([KMGTP]?)", re.IGNORECASE)


class TresError(ValueError):
    """The text is no TRES list."""


def parse_tres(text: str) -> dict[str, int]:
    """Read a TRES list. Raises :class:`TresError` that quotes the item."""
    result: dict[str, int] = {}
    for name, number in quantities(text).items():
        if number.denominator != 1:
            raise TresError(f"not a whole number of base units: {name} in {text!r}")
        result[name] = int(number)
    return result


def quantities(text: str) -> dict[str, Fraction]:
    """The same, exactly: a job may have half a MiB. Raises :class:`TresError` that quotes the item."""
    result: dict[str, Fraction] = {}
    for item in text.split(",") if text else ():
        match = _ITEM.fullmatch(item.strip())
        if not match:
            raise TresError(f"not a TRES value: {item!r}")
        name, number, suffix = match[1].lower(), Fraction(match[2]), match[3].upper()
        if suffix:
            power = _SUFFIX[suffix] - (_SUFFIX["M"] if name in _MEMORY else 0)
            number *= Fraction(1024) ** power
        result[name] = number
    return result


def format_tres(tres: Mapping[str, int]) -> str:
    """Write a TRES list as sacctmgr takes it, sorted by name."""
    return ",".join(f"{name}={amount}" for name, amount in sorted(tres.items()))


def tres_change(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What to set so that ``before`` becomes ``after``; -1 clears (a list in ``set`` merges)."""
    cleared = {name: -1 for name in before if name not in after}
    changed = {name: amount for name, amount in after.items() if before.get(name) != amount}
    return {**cleared, **changed}
