"""The toy product: boxes of accounts in a file, changed by a command line of its own. It knows nothing of reconcile.

    toyctl STATE list
    toyctl STATE add-account|set-account NAME [--above ACCOUNT] [--title TEXT] [--amounts cpu=3,disk=4]
    toyctl STATE drop-account NAME
    toyctl STATE add-member|drop-member ACCOUNT USER

Exit codes: 0 done, 1 refused, 2 the file cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Box = dict[str, Any]


class RefusedError(Exception):
    """The toy does not do that."""


def empty() -> Box:
    """A box without accounts."""
    return {"name": "toybox", "accounts": {}, "members": []}


def done(box: Box, words: Sequence[str]) -> str:
    """Do one command in place; what it prints. Raises :class:`RefusedError`."""
    asked = _parser().parse_args(words)
    if asked.verb == "list":
        return json.dumps(box, indent=1)
    {"account": _account, "member": _member}[asked.verb.partition("-")[2]](box, asked)
    return ""


def _account(box: Box, asked: argparse.Namespace) -> None:
    accounts, name = box["accounts"], asked.name
    if (name in accounts) == (asked.verb == "add-account"):
        raise RefusedError(f"account {name!r} is {'there already' if name in accounts else 'not there'}")
    if asked.verb == "drop-account":
        inside = [n for n, values in accounts.items() if values["above"] == name]
        if inside or any(account == name for account, _ in box["members"]):
            raise RefusedError(f"account {name!r} is not empty")
        del accounts[name]
        return
    values = accounts.get(name, {"above": "", "title": "", "amounts": {}})
    given = {"above": asked.above, "title": asked.title, "amounts": asked.amounts}
    fresh = {**values, **{key: value for key, value in given.items() if value is not None}}
    above, seen = fresh["above"], {name}
    while above:
        if above in seen or above not in accounts:
            raise RefusedError(f"account {name!r} cannot be below {fresh['above']!r}")
        seen.add(above)
        above = accounts[above]["above"]
    accounts[name] = fresh


def _member(box: Box, asked: argparse.Namespace) -> None:
    pair = [asked.name, asked.user]
    if asked.name not in box["accounts"] or (pair in box["members"]) == (asked.verb == "add-member"):
        raise RefusedError(f"{asked.verb} {asked.user!r}: not so in account {asked.name!r}")
    if asked.verb == "add-member":
        box["members"].append(pair)
    else:
        box["members"].remove(pair)


def _amounts(text: str) -> dict[str, int]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    return {name: int(number) for name, _, number in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="toyctl")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    for verb in ("add-account", "set-account", "drop-account", "add-member", "drop-member"):
        one = verbs.add_parser(verb)
        one.add_argument("name")
        if verb in ("add-account", "set-account"):
            one.add_argument("--above")
            one.add_argument("--title")
            one.add_argument("--amounts", type=_amounts)
        if verb.endswith("-member"):
            one.add_argument("user")
    return parser


def main(state: Path, words: Sequence[str]) -> int:
    """One call of the program."""
    try:
        box = json.loads(state.read_text()) if state.exists() else empty()
        print(done(box, words), end="")
        fresh = state.with_suffix(".new")
        fresh.write_text(json.dumps(box))
        fresh.replace(state)
    except RefusedError as error:
        print(f"toyctl: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"toyctl: the box cannot be opened: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
