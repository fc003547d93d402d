"""References into a cluster's catalogues: a name that the cluster lacks must not be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reconciler.providers.base import Catalog
from reconciler.state.kinds import KINDS
from reconciler.state.model import Desired
from reconciler.state.values import AtFirst, AtLeast, Except, OneOf, Refused, Unless, Wanted, Within


def check(desired: Desired, catalogs: Mapping[str, Catalog]) -> None:
    """Turn every field that names something the cluster lacks into a refused one, in place."""
    full = {
        name: replace(c, names=c.names | {a.key[0] for a in desired.objects if a.kind == c.kind})
        for name, c in catalogs.items()
    }
    referring = {k: [f for f in kind.fields if f.names in full] for k, kind in KINDS.items()}
    for address, obj in desired.objects.items():
        fields = [f for f in referring[address.kind] if f.name in obj.values]
        if not fields:
            continue
        checked = {f.name: _checked(obj.values[f.name], full[f.names]) for f in fields}
        if any(value is not obj.values[name] for name, value in checked.items()):
            desired.objects[address] = replace(obj, values={**obj.values, **checked})


def _checked(wanted: Wanted, known: Catalog) -> Wanted:
    missing = sorted(_names(wanted) - known.names)
    if not missing or isinstance(wanted, Refused):
        return wanted
    return Refused(
        wanted,  # type: ignore[arg-type]  # UNMANAGED names nothing
        f"the cluster has no {known.word} {', '.join(repr(m) for m in missing)} ({known.remedy})",
    )


def _names(wanted: Wanted) -> frozenset[str]:
    if isinstance(wanted, AtFirst | AtLeast | Except | OneOf | Within | Unless):
        return _names(wanted.wanted)
    if isinstance(wanted, frozenset | Mapping):
        return frozenset(wanted)
    return frozenset({wanted}) if isinstance(wanted, str) and wanted else frozenset()
