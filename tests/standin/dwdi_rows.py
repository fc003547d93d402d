"""The answers of the stand-in DWDI: rows of usage summed by month or day, in both flavours of the API.

Figures go through as text: what is written as ``{"hours": "500.25"}`` comes out as the JSON number 500.25, exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

Parameters = dict[str, list[str]]
Rows = Iterable[dict[str, Any]]


class Refused(Exception):  # noqa: N818  # an answer, not a failure
    """Parameters that the server does not take: 422."""


def number(value: Decimal) -> str:
    """A figure, marked so that :func:`text` writes it as a number."""
    return f"#{value}#"


def text(answer: Any) -> str:
    """JSON with marked figures as numbers."""
    return re.sub(r'"#([^"#]*)#"', r"\1", json.dumps(answer))


def one(parameters: Parameters, name: str, shape: str) -> str:
    value = (parameters.get(name) or [""])[0]
    if not re.fullmatch(shape, value):
        raise Refused(f"{name}: {value!r} is not like {shape}")
    return value


MONTH, DAY = r"\d{4}-(0[1-9]|1[0-2])", r"\d{4}-\d{2}-\d{2}"


def span(parameters: Parameters, shape: str) -> tuple[str, str]:
    first, last = one(parameters, "from", shape), one(parameters, "to", shape)
    if first > last:
        raise Refused("from is after to")
    return first, last


def _among(row: dict[str, Any], key: str, wanted: list[str] | None) -> bool:
    return not wanted or row[key] in wanted


def compute(rows: Rows, parameters: Parameters, settings: dict[str, Any], *, daily: bool) -> Any:
    """Accounts with their users. Month answers sum a user's rows unless ``split_users`` is set."""
    first, last = span(parameters, DAY if daily else MONTH)
    legacy = settings["flavour"] == "legacy"
    clusters = None if settings["ignores_clusters"] else parameters.get("cluster")
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        when = row["date"][: len(first)]
        fits = _among(row, "account", parameters.get("account")) and _among(row, "cluster", clusters)
        if first <= when <= last and fits:
            found.setdefault(row["account"], []).append(row)
    if settings["empty_accounts"]:
        for account in parameters.get("account", []):
            found.setdefault(account, [])
    figures = settings["figures"]
    answer = []
    for account, mine in found.items():
        entry: dict[str, Any] = {"account": account}
        for figure in figures:
            spelt = settings["spelling"] or ("account" if legacy else "total")
            entry[f"{spelt}{figure[0].upper()}{figure[1:]}"] = number(_sum(mine, figure))
        entry["users"] = _users(mine, figures, apart=daily or settings["split_users"])
        answer.append(entry)
    return {"compute": answer}


def _sum(rows: Rows, figure: str) -> Decimal:
    return sum((Decimal(str(row.get(figure, "0"))) for row in rows), Decimal(0))


def _users(rows: list[dict[str, Any]], figures: list[str], *, apart: bool) -> list[dict[str, Any]]:
    named = [row for row in rows if not row.get("unattributed")]
    if apart:
        return [
            {
                "username": row["user"],
                **{figure: number(_sum([row], figure)) for figure in figures},
                "usageDate": row["date"],
                "cluster": row["cluster"],
            }
            for row in named
        ]
    users = dict.fromkeys(row["user"] for row in named)
    return [
        {"username": user, **{f: number(_sum([row for row in named if row["user"] == user], f)) for f in figures}}
        for user in users
    ]


def storage(rows: Rows, parameters: Parameters, *, daily: bool) -> Any:
    """Paths with the last figures of the month, or of a day."""
    when = one(parameters, "exact-date" if daily else "exact-month", DAY if daily else MONTH)
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: str(row["date"])):
        fits = row["date"].startswith(when) and _among(row, "path", parameters.get("paths"))
        same = all(_among(row, key, parameters.get(key)) for key in ("filesystem", "data_type"))
        if fits and same:
            found[row["path"]] = row
    return {
        "storage": [
            {"path": p, "spaceUsed": number(Decimal(r["bytes"])), "inodesUsed": number(Decimal(r["inodes"]))}
            for p, r in found.items()
        ]
    }


def inference(rows: Rows, parameters: Parameters) -> Any:
    """Resources with what they cost in a month; uuids are compared as they are written."""
    first, last = span(parameters, MONTH)
    found: dict[str, Decimal] = {}
    for row in rows:
        if first <= row["date"][:7] <= last and _among(row, "uuid", parameters.get("resource_uuid")):
            found[row["uuid"]] = found.get(row["uuid"], Decimal(0)) + Decimal(row["cost"])
    return {"inference": [{"waldurResourceUuid": u, "totalCost": number(c)} for u, c in found.items()]}
