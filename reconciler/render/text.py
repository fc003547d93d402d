"""A plan as text, in Terraform's look. Returns :class:`rich.text.Text`; colour is the console's business."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from deepdiff import DeepDiff
from rich.text import Text

from reconciler.plan import Plan
from reconciler.state.diff import Action, Change
from reconciler.state.kinds import KINDS
from reconciler.state.model import Note, Value, json_value

SYMBOLS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
STYLES = {Action.CREATE: "green", Action.UPDATE: "yellow", Action.DELETE: "red"}
_WILL = {
    Action.CREATE: "will be created",
    Action.UPDATE: "will be updated in-place",
    Action.DELETE: "will be destroyed",
}


def printable(text: str) -> str:
    """Text from elsewhere without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: Value | object) -> str:
    """A value as it stands in a plan."""
    plain = json_value(value)  # type: ignore[arg-type]  # nested items are plain values as well
    if plain is None or plain in ("", {}, []):
        return "(none)"
    return printable(json.dumps(plain, ensure_ascii=False))


def plan_text(plan: Plan, nothing: str = "") -> Text:
    """The whole plan: actions, what is blocked, what a person should know, and the summary (or ``nothing``)."""
    out = Text()
    for change in plan.changes:
        out.append_text(change_text(change))
        out.append("\n")
    if plan.blocked:
        out.append("Blocked; none of this is done, everything else is:\n\n", style="bold")
        for change in plan.blocked:
            out.append_text(change_text(change))
            out.append("\n")
    _notes(out, "Refused objects of Waldur:", plan.refused, "red")
    _notes(out, "Orphans, left alone (reconcile.prune removes them):", plan.orphans, "magenta")
    _notes(out, "Waiting:", plan.waiting, "cyan")
    _notes(out, "Warnings:", plan.warnings, "yellow")
    for refusal in plan.refusals:
        out.append("Guard: ", style="bold red")
        out.append(f"{refusal.text}.\n       apply refuses this plan; to allow it: {refusal.lifted_by}\n\n")
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


def change_text(change: Change) -> Text:
    """One block per object: what happens, why, and each field that gets another value."""
    out = Text()
    key = " ".join(json.dumps(k, ensure_ascii=False) for k in change.address.key)
    verb = _WILL[change.action] if not change.blocked else f"is blocked ({change.action.value})"
    out.append(f"  # {change.address} {verb}\n", style="bold")
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
    if isinstance(after, Mapping | frozenset) and before:
        bracket = "{}" if isinstance(after, Mapping) else "[]"
        yield STYLES[Action.UPDATE], f"~ {name:<{width}} = {bracket[0]}"
        for action, line in nested(before, after):
            yield STYLES[action], f"    {SYMBOLS[action]} {line}"
        yield STYLES[Action.UPDATE], f"  {bracket[1]}"
    else:
        yield STYLES[Action.UPDATE], f"~ {name:<{width}} = {shown(before)} -> {shown(after)}"


def nested(before: Value, after: Value) -> list[tuple[Action, str]]:
    """What differs inside a TRES map or a set, element by element."""
    difference = DeepDiff(_plain(before), _plain(after), view="tree")
    found: list[tuple[Action, str, str]] = []
    for item in difference.get("values_changed", ()):
        name = str(item.path(output_format="list")[-1])
        found.append((Action.UPDATE, name, f"{printable(name)} = {shown(item.t1)} -> {shown(item.t2)}"))
    for sign, action, side in (
        ("dictionary_item_added", Action.CREATE, "t2"),
        ("dictionary_item_removed", Action.DELETE, "t1"),
    ):
        for item in difference.get(sign, ()):
            name = str(item.path(output_format="list")[-1])
            found.append((action, name, f"{printable(name)} = {shown(getattr(item, side))}"))
    for item in difference.get("set_item_added", ()):
        found.append((Action.CREATE, str(item.t2), shown(item.t2)))
    for item in difference.get("set_item_removed", ()):
        found.append((Action.DELETE, str(item.t1), shown(item.t1)))
    return [(action, line) for action, _, line in sorted(found, key=lambda f: f[1])]


def _plain(value: Value) -> object:
    return set(value) if isinstance(value, frozenset) else value


def _notes(out: Text, title: str, notes: Sequence[Note], style: str) -> None:
    if not notes:
        return
    out.append(f"{title}\n", style="bold")
    for note in notes:
        out.append(f"  {note.address}", style=style)
        out.append(f"  {printable(note.text)}\n")
    out.append("\n")
