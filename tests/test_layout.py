"""The house: which module does what, and that a cluster's product is known to its own folder alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import reconciler
from reconciler.config import Guards
from reconciler.config.guards import TABLE
from reconciler.providers.registry import backend_of
from reconciler.state.kinds import KINDS

ROOT = Path(reconciler.__file__).parent
#: where a product's words are at home: its provider, the table of providers, and what an operator writes of it
HOME = (
    "providers/slurm/",
    "providers/moab/",
    "providers/registry.py",
    "config/",
    "usernames/reserved.py",  # names of unix users that daemons have
)
#: kinds, fields, programs and daemons of products, and the emulator of one; the word "SLURM" in a sentence is none
WORDS = re.compile(
    r"\bmam-|moab|slurm|sacct|scancel|squeue|sdiag|scontrol|emulator|grp_?tres|max_?tres|grp_submit|max_submit|default_?(qos|account)"
)
#: names that others gave: an agent, an endpoint of Waldur's
OTHERS = re.compile(r"waldur-slurm-agent|marketplace-slurm-periodic-usage-policies")


def lines_of(path: Path) -> set[int]:
    """Lines of code, without docstrings and comments, in which such a word stands."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in documents:
            continue
        words = [
            value
            for _, value in ast.iter_fields(node)
            if isinstance(value, str) and not (isinstance(node, ast.Constant) and id(node) in documents)
        ]
        if any(WORDS.search(OTHERS.sub("", word)) for word in words):
            found.add(getattr(node, "lineno", 0))
    return found


def test_the_core_names_no_product() -> None:
    """It began with 285 lines in 42 files, and ends here: a new kind of cluster is a folder, never a line elsewhere."""
    counted = {
        name: len(found)
        for path in sorted(ROOT.rglob("*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(HOME) and (found := lines_of(path))
    }
    assert not counted, f"lines that name a product outside its folder: {counted}"


# ---------------------------------------------------------------------- the guards


def test_every_guard_has_a_key_a_file_a_setting_and_a_line_in_the_documents() -> None:
    documents = (ROOT.parent / "docs/operations.md").read_text()
    for guard in TABLE:
        assert guard.key in Guards.model_fields, guard.key
        assert f"`{guard.key}`" in documents, guard.key
        homes = [ROOT / "guards" / f"{guard.module}.py", ROOT / "desired" / f"{guard.module}.py"]
        code = "".join(p.read_text() for p in homes if p.exists())
        assert guard.key in code, f"{guard.module}.py does not know {guard.key}"
    for path in (ROOT / "guards").glob("*.py"):
        told = {g.module for g in TABLE} | {"jobs", "protected", "dependents", "__init__"}
        assert path.stem in told, f"{path.name} is no guard's"


# ---------------------------------------------------------------------- the table of modules

CONTRIBUTING = ROOT.parent / "CONTRIBUTING.md"
BEGIN, END = "<!-- layout", "<!-- end of layout -->"


def said(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def table() -> str:
    """Every module with a line, folder by folder; a folder's own line is that of its ``__init__``."""
    lines: list[str] = []
    folders = sorted({p.parent for p in ROOT.rglob("*.py")}, key=lambda f: f.relative_to(ROOT).as_posix())
    for folder in folders:
        name = folder.relative_to(ROOT).as_posix()
        lines += ["", f"**`{'reconciler' if name == '.' else name}/`** {said(folder / '__init__.py')}", ""]
        lines += ["| module | job |", "|---|---|"]
        modules = [p for p in sorted(folder.glob("*.py")) if p.name != "__init__.py"]
        lines += [f"| `{p.name}` | {said(p).replace('|', '/')} |" for p in modules]
    return "\n".join(lines) + "\n"


def test_contributing_lists_every_module_with_its_first_line() -> None:
    text = CONTRIBUTING.read_text()
    begin = text.index("\n", text.index(BEGIN)) + 1
    here, wanted = text[begin : text.index(END)], table()
    if os.environ.get("RECONCILE_WRITE_PLANS"):
        CONTRIBUTING.write_text(text[:begin] + wanted + "\n" + text[text.index(END) :])
        return
    assert here.strip() == wanted.strip(), (
        "write it anew: RECONCILE_WRITE_PLANS=1 .venv/bin/pytest tests/test_layout.py"
    )


# ---------------------------------------------------------------------- what a plan may hold

KINDS_OF = ROOT.parent / "docs/kinds.md"


def kinds() -> str:
    """Every kind of object with its fields, in the words of their declarations."""
    products = {backend_of(word).name for word in ("slurm", "moab")}
    lines = [
        "# Kinds of objects",
        "",
        "What a plan may hold, and what the fields of it mean; written from the declarations of the kinds. An",
        'address is the kind with its key: `slurm.account["hpc_climate"]`. Other kinds of clusters bring their own',
        "(docs/backends.md).",
    ]
    for kind in sorted(KINDS.values(), key=lambda k: (k.stage, k.rank, k.name)):
        if kind.name.partition(".")[0] not in {*products, "waldur", "host"}:
            continue
        lines += ["", f"## `{kind.name}`", "", f"Key: {', '.join(kind.key)}. Role: {kind.role.value}."]
        if kind.fields:
            lines += ["", "| field | compared as | meaning |", "|---|---|---|"]
            lines += [f"| `{f.name}` | {f.compare.word} | {f.doc} |" for f in kind.fields]
    lines += ["", "# Guards", "", "| key | what it prevents |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{g.key}` | {g.doc} |" for g in TABLE)]) + "\n"


def test_the_document_of_kinds_is_their_declarations() -> None:
    # in a process of its own: other tests bring kinds of their own
    alone = "from tests.test_layout import kinds; print(kinds(), end='')"
    told = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, cwd=ROOT.parent, check=True)
    if os.environ.get("RECONCILE_WRITE_PLANS"):
        KINDS_OF.write_text(told.stdout)
    assert KINDS_OF.read_text() == told.stdout, "write it anew, as CONTRIBUTING.md says of its table"


def test_every_module_says_its_job_in_a_line() -> None:
    for path in ROOT.rglob("*.py"):
        line = said(path)
        assert 15 <= len(line) <= 120 and line.endswith((".", "``", "?", ":")), f"{path.relative_to(ROOT)}: {line!r}"


def test_no_function_needs_to_be_scrolled() -> None:
    """Those of the command line are exempt: they begin with all their options."""
    longest = {}
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and path.parent.name != "cli":
                longest[f"{path.relative_to(ROOT)}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert not {name: lines for name, lines in longest.items() if lines > 45}
