"""A plan as a document in Terraform's documented plan format, and as a file that can be applied later."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.errors import ReconcileError
from reconciler.faults import Fault, Faults
from reconciler.plan.model import Plan, Refusal, now_text
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Note
from reconciler.state.values import Value, from_json, json_value

#: the version of Terraform's documented plan format that the document follows
FORMAT_VERSION = "1.3"
_NEW = "Make a new plan with: reconcile plan --out FILE"
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
        document["reconcile"]["cancels_jobs"] = len(change.jobs)
        document["reconcile"]["jobs"] = list(change.jobs)
    if change.ends:
        document["reconcile"]["ends"] = change.ends
    return document


def _shown(change: Change, cluster: str, prefix: str, faults: Faults | None) -> dict[str, Any]:
    if faults is None:
        return _change_document(change, cluster, prefix)

    def whole() -> dict[str, Any]:
        found = _change_document(change, cluster, prefix)
        json.dumps(found)  # what JSON has no place for is found here, where it has an address
        return found

    def plain(fault: Fault) -> dict[str, Any]:
        bare = replace(change, before=None, after=None, reason=f"cannot be shown, a defect of reconcile: {fault.why}")
        return _change_document(bare, cluster, prefix)

    return faults.attempt(str(change.address), whole, plain)


def _note(note: Note, cluster: str) -> dict[str, str]:
    return {"address": str(note.address), "reason": note.text, "offering": note.offering, "cluster": cluster}


def _about(plan: Plan) -> dict[str, Any]:
    """What one plan is of."""
    return {
        "cluster": plan.cluster,
        "offerings": list(plan.offerings),
        "resources": plan.resources,
        "cancels_jobs": plan.cancels_jobs,
        "allowed": sorted(plan.allowed),
        "preface": list(plan.preface),
        "terminations": sorted(str(a) for a in plan.terminations),
    }


def document(plans: Sequence[Plan], errors: Sequence[str] = (), faults: Faults | None = None) -> dict[str, Any]:
    """The plans as one document in Terraform's plan format, ours under the key ``reconcile``.

    Addresses get a ``module.<cluster>.`` prefix where there are several clusters. With ``faults`` an object that
    cannot be written is there without its values, and among the errors; such a document is for reading alone.
    """

    def changes(which: Callable[[Plan], Iterable[Change]]) -> list[dict[str, Any]]:
        return [_shown(c, p.cluster, prefix[p.cluster], faults) for p in plans for c in which(p)]

    several = len({p.cluster for p in plans}) > 1
    prefix = {p.cluster: f"module.{p.cluster}." if several else "" for p in plans}
    live, blocked = changes(lambda p: p.changes), changes(lambda p: p.blocked)
    errors = [*errors, *(str(f) for f in (faults.found if faults is not None else ()))]
    return {
        "format_version": FORMAT_VERSION,
        "timestamp": min((p.created for p in plans), default=now_text()),
        "applyable": not errors and any(p.changes for p in plans) and not any(p.refusals for p in plans),
        "complete": not errors and not any(p.stuck or p.refusals for p in plans),
        "errored": bool(errors) or any(p.unread for p in plans),
        "resource_changes": live,
        "reconcile": {
            "version": __version__,
            "config_digest": plans[0].config_digest if plans else "",
            "clusters": [_about(p) for p in plans],
            "blocked": blocked,
            "refused": [_note(n, p.cluster) for p in plans for n in p.refused],
            **(
                {"unread": [_note(n, p.cluster) for p in plans for n in p.unread]}
                if any(p.unread for p in plans)
                else {}
            ),
            "orphans": [_note(n, p.cluster) for p in plans for n in p.orphans],
            "waiting": [_note(n, p.cluster) for p in plans for n in p.waiting],
            "warnings": [_note(n, p.cluster) for p in plans for n in p.warnings],
            "guards": [
                {"cluster": p.cluster, "key": r.key, "kind": r.kind, "reason": r.text, "lifted_by": r.lifted_by}
                for p in plans
                for r in p.refusals
            ],
            "errors": list(errors),
        },
    }


def save(plans: Sequence[Plan], path: Path) -> None:
    """Write a plan file, readable by its owner alone: the whole of it, or none."""
    # ASCII, so that bytes of a foreign encoding in a description survive as escapes
    text = json.dumps(document(plans), indent=1) + "\n"
    try:
        if path.exists() and not path.is_file():  # a pipe or a device is written as it is
            path.write_text(text, encoding="utf-8")
            return
        _replace(path.resolve(), text)
    except OSError as error:
        raise ReconcileError(f"{path}: the plan cannot be written: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    # made with mode 0600
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def load(path: Path) -> list[Plan]:
    """Read a plan file. Raises :class:`ReconcileError` for anything that :func:`save` did not write."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReconcileError(f"{path}: the plan cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ReconcileError(f"{path}: not a plan of reconcile: it is no JSON ({why})", _NEW) from None
    if not isinstance(data, dict) or not isinstance(data.get("reconcile"), dict):
        raise ReconcileError(f"{path}: not a plan of reconcile: it lacks what `plan --out` writes", _NEW)
    ours, found = data["reconcile"], data.get("format_version")
    if found != FORMAT_VERSION:
        by = f" by reconcile {ours['version']}" if "version" in ours else ""
        raise ReconcileError(f"{path}: written{by} in plan format {found}, this version reads {FORMAT_VERSION}", _NEW)
    if ours.get("errors"):
        raise ReconcileError(f"{path}: this plan was made with errors and is for reading alone", _NEW)
    try:
        plans = _plans(data)
        if not plans:
            raise ValueError("it is for no cluster")
        return plans
    except KeyError as error:
        raise ReconcileError(f"{path}: not a whole plan of reconcile: it lacks {error}", _NEW) from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise ReconcileError(f"{path}: not a whole plan of reconcile: {error}", _NEW) from None


def _plans(data: Mapping[str, Any]) -> list[Plan]:
    ours = data["reconcile"]
    plans = []
    for about in ours["clusters"]:
        name = about["cluster"]
        of = {
            key: tuple(
                Note(Address.parse(n["address"]), n["reason"], n["offering"])
                for n in (ours.get(key, ()) if key == "unread" else ours[key])
                if n["cluster"] == name
            )
            for key in ("refused", "orphans", "waiting", "warnings", "unread")
        }
        plans.append(
            Plan(
                cluster=name,
                offerings=tuple(about["offerings"]),
                resources=about["resources"],
                cancels_jobs=about["cancels_jobs"],
                allowed=frozenset(about["allowed"]),
                preface=tuple(about["preface"]),
                terminations=frozenset(Address.parse(a) for a in about["terminations"]),
                changes=_changes(data["resource_changes"], name),
                blocked=_changes(ours["blocked"], name),
                refusals=tuple(
                    Refusal(g["key"], g["reason"], g["kind"]) for g in ours["guards"] if g["cluster"] == name
                ),
                config_digest=ours["config_digest"],
                created=data["timestamp"],
                refused=of["refused"],
                orphans=of["orphans"],
                waiting=of["waiting"],
                warnings=of["warnings"],
                unread=of["unread"],
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
        fields = KINDS[address.kind].by_name
        if unknown := found.keys() - fields.keys():
            raise ValueError(f"unknown fields {sorted(unknown)}")
        if odd := [name for name, value in found.items() if not fields[name].compare.valid(value)]:
            raise ValueError(f"{address}: no value of {odd[0]}: {part[odd[0]]!r}")
        return found

    module = document.get("module_address")
    text = document["address"]
    address = Address.parse(text.removeprefix(f"{module}.") if module else text)
    if address.kind not in KINDS or len(address.key) != len(KINDS[address.kind].key):
        raise ValueError(f"no object that reconcile knows: {text}")
    change = document["change"]
    return Change(
        address,
        Action(change["actions"][0]),
        values(change["before"]),
        values(change["after"]),
        document["action_reason"],
        frozenset(document["reconcile"]["offerings"]),
        document["reconcile"].get("blocked", ""),
        tuple(str(n) for n in document["reconcile"].get("jobs", ())),
        document["reconcile"].get("last", False),
        frozenset(Address.parse(a) for a in document["reconcile"].get("needs", ())),
        document["reconcile"].get("ends", ""),
    )
