"""A number or an id is never cut, at any width from 60: bars go first, then texts wrap, then rows become blocks."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from reconciler.cli.importing import _table as import_table
from reconciler.cycle.usage_rows import By, Figure
from reconciler.cycle.verify import Comparison
from reconciler.desired.imports import Importable
from reconciler.render.history import runs_table
from reconciler.render.usage import comparison_table, table
from reconciler.store.journal import RunEntry

SOURCES = ("sacct", "slurmctld", "Waldur", "DWDI")
LONG = "a_a-rather-long-name-of-an-allocation-0042"


def printed(what: Any, width: int) -> list[str]:
    """The lines of a terminal of this width, as the program prints to one."""
    out = io.StringIO()
    console = Console(file=out, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)
    console.print(what)
    return out.getvalue().splitlines()


def figure(**about: str) -> Figure:
    plain = {"offering": "O", "account": "a_climate", "resource": "climate", "period": "2026-11", "user": ""}
    amounts = {"component": "cpu", "unit": "CPU-hours", "used": "45.00", "limit": "100.00"}
    return Figure(**{**plain, **amounts, **about})


AMOUNTS = st.integers(0, 10**13).map(lambda n: f"{n / 100:.2f}")
WIDTHS = st.integers(60, 200)


@settings(max_examples=200)
@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=4), st.sampled_from(By), WIDTHS)
def test_no_number_of_usage_show_is_cut(amounts: list[tuple[str, str]], by: By, width: int) -> None:
    rows = [figure(account=LONG, user="annabella", used=used, limit=limit) for used, limit in amounts]
    lines = printed(table(rows, by), width)
    for row in rows:
        wanted = [row.account, row.used, row.limit, *([row.period] if by is By.MONTH else [])]
        if row.share is not None:
            wanted.append(f"{row.share:.0%}")
        for text in wanted:
            assert any(text in line for line in lines), lines
    assert not any("…" in line for line in lines)


@settings(max_examples=200)
@given(st.lists(st.lists(AMOUNTS, min_size=4, max_size=4), min_size=1, max_size=3), WIDTHS)
def test_no_number_of_usage_verify_is_cut(amounts: list[list[str]], width: int) -> None:
    rows = [
        Comparison(
            offering="O",
            account=LONG,
            resource="r",
            component="gres/gpu:a100",
            span="2026-11",
            unit="GPU-hours",
            amounts=dict(zip(SOURCES, one, strict=True)),
            differs=True,
        )
        for one in amounts
    ]
    lines = printed(comparison_table(rows, SOURCES), width)
    for row in rows:
        for text in (row.account, row.component, *row.amounts.values(), "DIFFERS"):
            assert any(text in line for line in lines), lines


@settings(max_examples=100)
@given(st.integers(0, 10**9), st.sampled_from(("default", "usage-alps", "a-long-name-of-a-cluster")), WIDTHS)
def test_no_run_id_of_history_is_cut(planned: int, cluster: str, width: int) -> None:
    by = "process 1234567 of root on login-node-1.cluster.example.org since 2026-11-21 08:15:00"
    run = RunEntry("20261121T081500-3fa1c2", cluster, "2026-11-21T08:15:00.1", "", "interrupted", by, "1", "x", planned)
    lines = printed(runs_table([run]), width)
    for text in (run.id, "2026-11-21", "08:15:00", "interrupted", str(planned), "login-node-1.cluster.example.org"):
        assert any(text in line for line in lines), lines
    assert not any("usage-" in line for line in lines)


@pytest.mark.parametrize("width", [60, 72, 80, 100, 132, 200])
def test_no_number_of_import_is_cut(width: int) -> None:
    limits = {"cpu": "600000000000", "gres/gpu:a100": "123456789", "mem": "9876543210"}
    one = Importable(LONG, "p_a-project", "A", limits=limits, members=("ann", "bob"), project_name="A Project of Words")
    lines = printed(import_table([one]), width)
    for text in (LONG, "p_a-project", *(f"{k}={v}" for k, v in limits.items())):
        assert any(text in line for line in lines), lines


def test_bars_go_before_texts_wrap_and_texts_before_rows_become_blocks() -> None:
    rows = [figure(unit="core hours of the big partition", used="123456.78", limit="1000000.00")]
    wide, narrow, narrower, least = (printed(table(rows, By.ACCOUNT), w) for w in (140, 95, 75, 50))
    assert "██" in wide[1] and "12%" in wide[1]
    assert "█" not in "".join(narrow) and "12%" in narrow[1] and len(narrow) == 2
    assert len(narrower) > 2 and narrower[0].split()[:2] == ["account", "component"]
    assert least[0].split() == ["account", "a_climate"]


@pytest.mark.parametrize("width", range(60, 201, 7))
def test_lines_stay_within_the_width(width: int) -> None:
    rows = [figure(user="ann"), figure(account="a_other", used="1234567.89", user="bob")]
    assert all(len(line.rstrip()) <= width for line in printed(table(rows, By.USER), width))


@pytest.mark.parametrize("width", [1, 7, 20, 33, 45, 59])
def test_narrower_still_nothing_is_cut(width: int) -> None:
    lines = printed(table([figure(account=LONG, used="1234567890.12")], By.MONTH), width)
    for text in (LONG, "1234567890.12", "2026-11"):
        assert any(text in line for line in lines), lines
