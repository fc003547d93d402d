"""What a person is told of usage, and asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.usage.conftest import Jobs
from tests.conftest import Program
from tests.standin.portal import StandIn
from tests.usage import THIS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backfill", "--from", "2024-05", "--to", "2024-01"), "is later than"),
        (("backfill", "--from", "soon", "--to", "2024-01"), "not a month: 'soon'"),
        (("backfill", "--from", "2024-01", "--to", "2999-01"), "has not begun"),
        (("backfill", "--from", "2024-01", "--to", "2024-01", "--token-file", "/nowhere"), "cannot be read"),
        (("show", "--period", "2999-01"), "has not begun"),
        (("show", "--period", "11/2026"), "not a month"),
        (("show", "--json", "--csv"), "exclude each other"),
    ],
)
def test_bad_options(site: Program, arguments: tuple[str, ...], message: str) -> None:
    ran = site("usage", *arguments)
    assert ran.code == 1
    assert message in ran.both


def test_a_token_file_is_used_and_never_shown(site: Program, portal: StandIn, jobs: Jobs, tmp_path: Path) -> None:
    token = "s3cret-of-a-staff-user"
    path = tmp_path / "staff.token"
    path.write_text(f"{token}\n")
    jobs.ran("a_climate-a", "alice", 3, month="2024-01")
    span = ("usage", "backfill", "--from", "2024-01", "--to", "2024-01", "--token-file", str(path), "--json")
    ran = site(*span)
    assert ran.code == 1 and token not in ran.both  # Waldur does not know it
    portal.world.update(token=token, staff=True)
    portal.push()
    ran = site(*span)
    assert ran.code == 0, ran.both
    assert token not in ran.both
    assert json.loads(ran.out)["months"] == [
        {"usage": "usage-default", "month": "2024-01", "state": "sent", "changes": 1, "blocked": 0}
    ]


def test_events_of_a_report(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 3)
    ran = site("usage", "report", "--auto-approve", "--json")
    kinds = [json.loads(line)["type"] for line in ran.out.splitlines()]
    assert kinds[-1] == "change_summary" and "apply_complete" in kinds


def test_what_is_incomplete_is_said_wherever_it_is_shown(site: Program, portal: StandIn, jobs: Jobs) -> None:
    portal.resource("other", backend_id="a_other")
    jobs.ran("a_climate-a", "alice", 3, "cpu=many")
    jobs.ran("a_other", "alice", 3)
    for command in ("show", "verify"):
        ran = site("usage", command)
        assert ran.code == 1
        assert "account a_climate-a, " in ran.both and "cpu=many" in ran.both
    assert "a_other" in site("usage", "show").out


def test_nothing_is_cut_off_in_a_pipe(site: Program, portal: StandIn, jobs: Jobs) -> None:
    account = "a_" + "very-long-name-of-an-allocation-" * 3
    portal.resource("long", backend_id=account)
    jobs.ran(account, "alice", 45)
    assert account in site.process("usage", "show").out


def test_bars_and_numbers(site: Program, portal: StandIn, jobs: Jobs) -> None:
    jobs.ran("a_climate-a", "alice", 45)
    shown = site("usage", "show").out
    assert "█████████" in shown and "45%" in shown
    assert "no limit" in shown  # of gpu
    header, first, *_ = site("usage", "show", "--csv").out.splitlines()
    assert header == "offering,account,resource,period,user,component,unit,used,limit,incomplete"
    assert first == f"Cluster A,a_climate-a,climate-a,{THIS},,cpu,CPU-hours,45.00,100.00,"
