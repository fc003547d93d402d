"""A plan as text, in Terraform's look. Returns :class:`rich.text.Text`; colour is the console's business."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from deepdiff import DeepDiff
from rich.text import Text

from reconciler.faults import Fault, Faults
from reconciler.plan.model import Plan
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Address, Note
from reconciler.state.values import Value, json_value

SYMBOLS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
STYLES = {Action.CREATE: "green", Action.UPDATE: "yellow", Action.DELETE: "red"}
#: said of an object whose values cannot be shown
DEFECT = "its values cannot be shown, a defect of reconcile that changes nothing of what is done"
_WILL = {
    Action.CREATE: "will be created",
    Action.UPDATE: "will be updated in-place",
    Action.DELETE: "will be destroyed",
}


def printable(text: str) -> str:
    """Text from elsewhere without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Several lines, each without control characters; those after the first are indented."""
    return f"\n{indent}".join(printable(line) for line in text.split("\n"))


def shown(value: Value | object) -> str:
    """A value as it stands in a plan."""
    plain = json_value(value)  # type: ignore[arg-type]  # nested items are plain values as well
    if plain is None or plain in ("", {}, []):
        return "(none)"
    return printable(json.dumps(plain, ensure_ascii=False))


def address_text(address: Address) -> str:
    """An address without control characters."""
    return printable(str(address))


def plan_text(plan: Plan, faults: Faults, nothing: str = "") -> Text:
    """The whole plan: actions, what is blocked, what a person should know, and the summary (or ``nothing``).

    An object that cannot be shown is a plain line, and one of ``faults``.
    """
    out = Text()
    for line in plan.preface:
        out.append(f"{printable(line)}\n")
    out.append("\n" if plan.preface else "")
    for change in plan.changes:
        out.append_text(_safely(change, faults))
        out.append("\n")
    if plan.blocked:
        out.append("Blocked; none of this is done, everything else is:\n\n", style="bold")
        for change in plan.blocked:
            out.append_text(_safely(change, faults))
            out.append("\n")
    _notes(out, "Refused objects of Waldur:", plan.refused, "red", faults)
    _notes(out, "Orphans, left alone (reconcile.prune removes them):", plan.orphans, "magenta", faults)
    _notes(out, "Waiting:", plan.waiting, "cyan", faults)
    _notes(out, "Warnings:", plan.warnings, "yellow", faults)
    for refusal in plan.refusals:
        out.append("Guard: ", style="bold red")
        out.append(f"{printable(refusal.text)}.\n       apply refuses this plan; to allow it: {refusal.lifted_by}\n\n")
    out.append_text(summary(plan, nothing))
    return out


def summary(plan: Plan, nothing: str = "") -> Text:
    """``Plan: 2 to add, 1 to change, 0 to destroy.`` or the sentence that nothing is to do."""
    counts = [plan.count(a) for a in Action]
    extra = [
        f"{len(found)} {word}"
        for found, word in ((plan.blocked, "blocked"), (plan.refused, "refused"), (plan.orphans, "orphaned"))
        if found
    ]
    tail = f" ({', '.join(extra)})" if extra else ""
    if plan.empty and plan.refusals:
        return Text(
            f"Nothing to do, but see the guard above: this reading of Waldur is not believed.{tail}\n", style="bold red"
        )
    if plan.empty:
        words = "No changes in what was selected." if plan.partial else nothing or plan.nothing
        return Text(f"{words}{tail}\n", style="bold green")
    line = Text("Plan: ", style="bold")
    line.append(f"{counts[0]} to add, {counts[1]} to change, {counts[2]} to destroy.{tail}\n", style="not bold")
    return line


def plain_line(change: Change) -> str:
    """What happens to which object, in plain words: for one that cannot be shown as it should be."""
    verb = f"is blocked ({change.action.value})" if change.blocked else _WILL[change.action]
    return f"{address_text(change.address)} {verb}"


def _safely(change: Change, faults: Faults) -> Text:
    def plain(fault: Fault) -> Text:
        return Text(f"  # {plain_line(change)}\n  # ({DEFECT}: {printable(fault.why)})\n", style="bold")

    return faults.attempt(str(change.address), lambda: change_text(change), plain)


def change_text(change: Change) -> Text:
    """One block per object: what happens, why, and each field that gets another value."""
    out = Text()
    key = printable(" ".join(json.dumps(k, ensure_ascii=False) for k in change.address.key))
    out.append(f"  # {plain_line(change)}\n", style="bold")
    if change.reason:
        out.append(f"  # ({printable(change.reason)})\n", style="dim")
    if change.blocked:
        out.append(f"  # blocked: {printable(change.blocked)}\n", style="bold red")
    out.append(f"  {SYMBOLS[change.action]} ", style=STYLES[change.action])
    lines = list(_fields(change))
    out.append(f"{change.address.kind} {key} {{")
    if not lines:
        out.append("}\n")
        return out
    out.append("\n")
    for style, line in lines:
        out.append(f"      {line}\n", style=style)
    out.append("    }\n")
    return out


def _fields(change: Change) -> Iterable[tuple[str, str]]:
    before, after = change.before or {}, change.after or {}
    changed = set(change.changed())
    names = [f.name for f in KINDS[change.address.kind].fields]
    if change.action is Action.CREATE:
        kept = [n for n in names if n in after and shown(after[n]) != "(none)"]
        width = max((len(n) for n in kept), default=0)
        for name in kept:
            yield STYLES[Action.CREATE], f"+ {name:<{width}} = {shown(after[name])}"
        return
    if change.action is Action.DELETE:
        kept = [n for n in names if n in before and shown(before[n]) != "(none)"]
        width = max((len(n) for n in kept), default=0)
        for name in kept:
            yield STYLES[Action.DELETE], f"- {name:<{width}} = {shown(before[name])}"
        return
    width = max((len(n) for n in changed), default=0)
    for name in names:
        if name in changed:
            yield from _field(name, width, before.get(name), after[name])
    hidden = len([n for n in names if n in before and n not in changed])
    if hidden:
        yield "dim", f"# ({hidden} unchanged attribute{'s' * (hidden > 1)} hidden)"


def _field(name: str, width: int, before: Value, after: Value) -> Iterable[tuple[str, str]]:
    for kind, bracket in ((Mapping, "{}"), (frozenset, "[]")):
        if isinstance(after, kind) and isinstance(before, kind) and before:
            yield STYLES[Action.UPDATE], f"~ {name:<{width}} = {bracket[0]}"
            for action, line in nested(before, after):
                yield STYLES[action], f"    {SYMBOLS[action]} {line}"
            yield STYLES[Action.UPDATE], f"  {bracket[1]}"
            return
    yield STYLES[Action.UPDATE], f"~ {name:<{width}} = {shown(before)} -> {shown(after)}"


def nested(before: Value, after: Value) -> list[tuple[Action, str]]:
    """What differs inside a TRES map or a set, key by key and element by element."""
    old, new = _by_key(before), _by_key(after)
    # without these two maps that share few keys count as one change of the whole, and keys like __x not at all
    difference = DeepDiff(old, new, view="tree", threshold_to_diff_deeper=0, ignore_private_variables=False)
    found: list[tuple[Action, str, str]] = []
    for sign, action in _SIGNS.items():
        for item in difference.get(sign, ()):
            key = item.path(output_format="list")[-1]
            found.append((action, key, _element(action, key, old.get(key), new.get(key))))
    return [(action, line) for action, _, line in sorted(found, key=lambda f: f[1])]


_SIGNS = {
    "values_changed": Action.UPDATE,
    "type_changes": Action.UPDATE,
    "dictionary_item_added": Action.CREATE,
    "dictionary_item_removed": Action.DELETE,
}
_MEMBER = True


def _by_key(value: Value) -> dict[str, object]:
    """A map as it is; a set as a map of its elements."""
    if isinstance(value, Mapping):
        return dict(value)
    return dict.fromkeys(value, _MEMBER) if isinstance(value, frozenset) else {}


def _element(action: Action, key: str, old: object, new: object) -> str:
    if old is _MEMBER or new is _MEMBER:  # booleans are no values of fields
        return shown(key)
    if action is Action.UPDATE:
        return f"{printable(key)} = {shown(old)} -> {shown(new)}"
    return f"{printable(key)} = {shown(new if action is Action.CREATE else old)}"


def _notes(out: Text, title: str, notes: Sequence[Note], style: str, faults: Faults) -> None:
    if not notes:
        return
    out.append(f"{title}\n", style="bold")
    for note in notes:
        out.append_text(_note(note, style, faults))
    out.append("\n")


def _note(note: Note, style: str, faults: Faults) -> Text:
    def plain(fault: Fault) -> Text:
        return Text(f"  {address_text(note.address)}  ({DEFECT}: {printable(fault.why)})\n")

    def whole() -> Text:
        return Text.assemble((f"  {address_text(note.address)}", style), f"  {printable(note.text)}\n")

    return faults.attempt(f"a note on {note.address}", whole, plain)
