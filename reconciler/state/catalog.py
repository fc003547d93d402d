"""References into a cluster's catalogues: a QoS or TRES that the cluster lacks must not be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.state.kinds import KINDS, Field
from reconciler.state.model import (
    AtLeast,
    Desired,
    Refused,
    State,
    TresExcept,
    TresWithin,
    Unless,
    Wanted,
)

Catalog = Mapping[str, frozenset[str]]
_WORDS = {
    "qos": ("QoS", "sacctmgr add qos, or reconcile.qos in the configuration"),
    "tres": ("TRES", "AccountingStorageTRES in slurm.conf"),
}


def check(desired: Desired, catalog: Catalog) -> None:
    """Turn every field that names something the cluster lacks into a refused one, in place."""
    known = {"qos": catalog["qos"] | {a.key[0] for a in desired.objects if a.kind == "slurm.qos"}}
    full = {**catalog, **known}
    referring = {k: [f for f in kind.fields if f.names] for k, kind in KINDS.items()}
    for address, obj in desired.objects.items():
        fields = [f for f in referring[address.kind] if f.name in obj.values]
        if not fields:
            continue
        checked = {f.name: _checked(f, obj.values[f.name], full[f.names]) for f in fields}
        if any(value is not obj.values[name] for name, value in checked.items()):
            desired.objects[address] = replace(obj, values={**obj.values, **checked})


def _checked(field: Field, wanted: Wanted, known: frozenset[str]) -> Wanted:
    missing = sorted(_names(wanted) - known)
    if not missing or isinstance(wanted, Refused):
        return wanted
    word, remedy = _WORDS[field.names]
    return Refused(
        wanted,  # type: ignore[arg-type]  # UNMANAGED names nothing
        f"the cluster has no {word} {', '.join(repr(m) for m in missing)} ({remedy})",
    )


def _names(wanted: Wanted) -> frozenset[str]:
    if isinstance(wanted, AtLeast | TresExcept | TresWithin | Unless):
        return _names(wanted.wanted)
    if isinstance(wanted, frozenset | Mapping):
        return frozenset(wanted)
    return frozenset({wanted}) if isinstance(wanted, str) and wanted else frozenset()


def catalog_of(actual: State, tres: frozenset[str]) -> dict[str, frozenset[str]]:
    """The catalogues of a cluster as read."""
    return {"qos": frozenset(a.key[0] for a in actual if a.kind == "slurm.qos"), "tres": tres}
