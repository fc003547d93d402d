"""What MAM's commands say, and what it means: all well, no such object, or nobody there to answer.

The exit code is a tenth of the server's response code (MAM 9 administrator's guide, "Response codes").
"""

from __future__ import annotations

import re

from reconciler.providers.base import Verdict
from reconciler.providers.moab.rows import ADVICE, WELL
from reconciler.providers.runner import Result

_THERE = "already exists"
_BUSINESS, _CONNECTION, _DENIED = 74, 22, 44
_NONE_CHANGED = re.compile(r"successfully modified 0 ", re.IGNORECASE)


def verdict(result: Result) -> Verdict:
    """What an answer means. Nothing is final: no amount and no name of an order is what MAM refuses."""
    said = result.said
    if result.code == _BUSINESS and _THERE in said.lower():
        return Verdict()  # the read afterwards tells whether it is as it should be
    if result.code not in WELL:
        advice = f"; {ADVICE[result.code]}" if result.code in ADVICE else ""
        problem = f"{result.command}: exit code {result.code}: {said}{advice}"
        return Verdict(problem, outage=result.code in (_CONNECTION, _DENIED))
    removing = any("--del-user" in word for word in result.argv)
    # to modify what is not there is no failure to MAM; to remove it is none to anybody
    return Verdict(f"{result.command}: {said}") if _NONE_CHANGED.search(said) and not removing else Verdict()
