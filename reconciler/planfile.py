"""A plan as a document in Terraform's documented plan format, and as a file that can be applied later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.errors import ReconcileError
from reconciler.plan import Plan, Refusal, now_text
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Note, Value, from_json, json_value

#: the version of Terraform's documented plan format that the document follows
FORMAT_VERSION = "1.3"
PROVIDER = "waldur.com/reconcile/"


def _values(values: Mapping[str, Value] | None) -> dict[str, object] | None:
    return None if values is None else {name: json_value(v) for name, v in sorted(values.items())}


def _change_document(change: Change, cluster: str, prefix: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "address": prefix + str(change.address),
        "mode": "managed",
        "type": change.address.kind,
        "name": "/".join(change.address.key),
        "provider_name": PROVIDER + change.address.kind.partition(".")[0],
        "change": {
            "actions": [change.action.value],
            "before": _values(change.before),
            "after": _values(change.after),
            "after_unknown": {},
            "before_sensitive": {},
            "after_sensitive": {},
        },
        "action_reason": change.reason,
    }
    if prefix:
        document["module_address"] = prefix.rstrip(".")
    document["reconcile"] = {"cluster": cluster, "offerings": sorted(change.offerings - {""})}
    if change.blocked:
        document["reconcile"]["blocked"] = change.blocked
    if change.last:
        document["reconcile"]["last"] = True
    if change.needs:
        document["reconcile"]["needs"] = sorted(str(a) for a in change.needs)
    if change.jobs:
        document["reconcile"]["cancels_jobs"] = change.jobs
    return document


def _note(note: Note, cluster: str) -> dict[str, str]:
    return {"address": str(note.address), "reason": note.text, "offering": note.offering, "cluster": cluster}


def document(plans: Sequence[Plan], errors: Sequence[str] = ()) -> dict[str, Any]:
    """The plans as one document in Terraform's plan format, ours under the key ``reconcile``.

    Addresses get a ``module.<cluster>.`` prefix where there are several clusters.
    """
    several = len({p.cluster for p in plans}) > 1
    prefix = {p.cluster: f"module.{p.cluster}." if several else "" for p in plans}
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": min((p.created for p in plans), default=now_text()),
        "applyable": not errors and any(p.changes for p in plans) and not any(p.refusals for p in plans),
        "complete": not errors and not any(p.stuck or p.refusals for p in plans),
        "errored": bool(errors),
        "resource_changes": [_change_document(c, p.cluster, prefix[p.cluster]) for p in plans for c in p.changes],
        "reconcile": {
            "version": __version__,
            "config_digest": plans[0].config_digest if plans else "",
            "clusters": [
                {
                    "cluster": p.cluster,
                    "offerings": list(p.offerings),
                    "resources": p.resources,
                    "cancels_jobs": p.cancels_jobs,
                    "allowed": sorted(p.allowed),
                }
                for p in plans
            ],
            "blocked": [_change_document(c, p.cluster, prefix[p.cluster]) for p in plans for c in p.blocked],
            "refused": [_note(n, p.cluster) for p in plans for n in p.refused],
            "orphans": [_note(n, p.cluster) for p in plans for n in p.orphans],
            "waiting": [_note(n, p.cluster) for p in plans for n in p.waiting],
            "warnings": [_note(n, p.cluster) for p in plans for n in p.warnings],
            "guards": [
                {"cluster": p.cluster, "key": r.key, "reason": r.text, "lifted_by": r.lifted_by}
                for p in plans
                for r in p.refusals
            ],
            "errors": list(errors),
        },
    }


def save(plans: Sequence[Plan], path: Path) -> None:
    """Write a plan file, readable by its owner alone."""
    # ASCII, so that bytes of a foreign encoding in a description survive as escapes
    text = json.dumps(document(plans), indent=1) + "\n"
    try:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReconcileError(f"{path}: the plan cannot be written: {error.strerror}") from None


def load(path: Path) -> list[Plan]:
    """Read a plan file. Raises :class:`ReconcileError` for anything that :func:`save` did not write."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ReconcileError(f"{path}: cannot be read as a plan: {error}") from None
    try:
        if data["format_version"] != FORMAT_VERSION:
            raise ReconcileError(f"{path}: plan format {data['format_version']}, this version reads {FORMAT_VERSION}")
        return _plans(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReconcileError(f"{path}: not a plan of reconcile: {error!r}") from None


def _plans(data: Mapping[str, Any]) -> list[Plan]:
    ours = data["reconcile"]
    plans = []
    for about in ours["clusters"]:
        name = about["cluster"]
        of = {
            key: tuple(
                Note(Address.parse(n["address"]), n["reason"], n["offering"]) for n in ours[key] if n["cluster"] == name
            )
            for key in ("refused", "orphans", "waiting", "warnings")
        }
        plans.append(
            Plan(
                cluster=name,
                offerings=tuple(about["offerings"]),
                resources=about["resources"],
                cancels_jobs=about["cancels_jobs"],
                allowed=frozenset(about["allowed"]),
                changes=_changes(data["resource_changes"], name),
                blocked=_changes(ours["blocked"], name),
                refusals=tuple(Refusal(g["key"], g["reason"]) for g in ours["guards"] if g["cluster"] == name),
                config_digest=ours["config_digest"],
                created=data["timestamp"],
                refused=of["refused"],
                orphans=of["orphans"],
                waiting=of["waiting"],
                warnings=of["warnings"],
            )
        )
    return plans


def _changes(documents: Iterable[Mapping[str, Any]], cluster: str) -> tuple[Change, ...]:
    return tuple(_change(d) for d in documents if d["reconcile"]["cluster"] == cluster)


def _change(document: Mapping[str, Any]) -> Change:
    def values(part: Mapping[str, Any] | None) -> dict[str, Value] | None:
        if part is None:
            return None
        found = {name: from_json(value) for name, value in part.items()}
        unknown = found.keys() - KINDS[address.kind].by_name.keys()
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        return found

    module = document.get("module_address")
    text = document["address"]
    address = Address.parse(text.removeprefix(f"{module}.") if module else text)
    change = document["change"]
    return Change(
        address,
        Action(change["actions"][0]),
        values(change["before"]),
        values(change["after"]),
        document["action_reason"],
        frozenset(document["reconcile"]["offerings"]),
        document["reconcile"].get("blocked", ""),
        document["reconcile"].get("cancels_jobs", 0),
        document["reconcile"].get("last", False),
        frozenset(Address.parse(a) for a in document["reconcile"].get("needs", ())),
    )
