"""The tests themselves: files that can be read at once, and one place that writes programs in place of real ones."""

from __future__ import annotations

from tests.conftest import ROOT

HERE = ROOT / "tests"
MOST = 500
#: what writes scripts: the fakes, and what installs packages before anything of ours can be imported
WRITES_SCRIPTS = {"fakes.py", "run.py"}
SHEBANG = "#" + "!/bin/"


def test_no_file_is_a_pile() -> None:
    lengths = {p.relative_to(HERE).as_posix(): len(p.read_text().splitlines()) for p in HERE.rglob("*.py")}
    piles = {name: lines for name, lines in lengths.items() if lines > MOST}
    assert not piles, f"more than {MOST} lines, so cut them by subject: {piles}"


def test_fake_programs_are_written_by_the_fakes() -> None:
    found = {p.relative_to(HERE).as_posix() for p in HERE.rglob("*.py") if SHEBANG in p.read_text()}
    assert found <= WRITES_SCRIPTS, f"use tests/fakes.py in {sorted(found - WRITES_SCRIPTS)}"
