"""``reconcile limits``: what policies give, and what others would, on the example without a portal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.test_examples import seeded


@pytest.fixture
def site(tmp_path: Path) -> Program:
    program = seeded("periodic", tmp_path)
    assert program("apply", "--auto-approve").code == 0
    return program


def test_what_accounts_are_allotted(site: Program) -> None:
    """1000 hours, 700 used last month, so 300 on top; 400 used now; billing as configured."""
    done = site("limits", "show", "a_thrifty", "--json")
    assert done.code == 0, done.both
    document = json.loads(done.out)
    (one,) = document["limits"]
    assert document["format_version"] == "1.0" and one["account"] == "a_thrifty"
    cpu = one["components"]["cpu"]
    assert (cpu["base"], cpu["previous_usage"], cpu["carryover"], cpu["total"], cpu["used"]) == (
        "1000", "700", "300", "1300", "400",
    )  # fmt: skip
    assert one["policy"]["limits"] == {"cpu": 93600, "mem": 442368000, "gres/gpu": 1440, "billing": 151200}
    assert one["policy"]["qos_threshold"] == {"billing": 126000}
    # 400 x 1 + 500 x 0.1 + 5 x 10 hours of billing were used
    assert one["counted"] == 500 * 60


def test_tables_keep_numbers_whole_and_say_when_a_threshold_is_reached(site: Program) -> None:
    done = site("limits", "show")
    assert done.code == 0, done.both
    for text in ("a_thrifty", "442368000", "110%", "threshold on", "billing-minutes"):
        assert text in done.out
    busy = next(r for r in csv.DictReader(io.StringIO(site("limits", "show", "--csv").out)) if r["account"] == "a_busy")
    assert (busy["used"], busy["share"], busy["limit"], busy["counted"]) == ("550", "1.1000", "cpu=36000", "33000")
    assert busy["threshold_on"], "it is beyond that already"
    missing = site("limits", "show", "nosuch")
    assert missing.code == 1 and "'nosuch' has no periodic limits" in missing.err


def test_another_period(site: Program) -> None:
    done = site("limits", "show", "a_busy", "--period", "2001-02", "--json")
    assert json.loads(done.out)["limits"][0]["policy"]["period_name"] == "2001-02"
    wrong = site("limits", "show", "--period", "2026-Q3")
    assert wrong.code == 1 and "they are like 2026-11" in wrong.err


def test_a_simulation_of_todays_policy_is_the_empty_difference(site: Program) -> None:
    done = site("limits", "simulate")
    assert done.code == 0 and "0 of 3 accounts would change" in done.out, done.both
    same = site("limits", "simulate", "--set", "grace_ratio=0.2", "--set", "carryover_factor=50")
    assert "No changes: this policy gives every account what it has." in same.out


def test_what_another_policy_would_do_is_shown_and_not_done(site: Program) -> None:
    done = site("limits", "simulate", "--set", "grace_ratio=0.1", "--set", "carryover_factor=25", "--json")
    assert done.code == 0, done.both
    changed = {c["address"]: c["after"] for c in json.loads(done.out)["changes"]}
    after = changed['slurm.account["a_thrifty"]']
    saved = site.directory / "simulation.json"
    saved.write_text(done.out)
    assert site("apply", str(saved), "--auto-approve").code == 1, "a simulation is no plan"
    assert after["fairshare"] == 2090 and after["grp_tres_mins"]["cpu"] == 82500
    assert site("plan", "--detailed-exitcode").code == 0, "nothing was touched"
    text = site("limits", "simulate", "a_busy", "--set", "limits.cpu=900").out
    assert "1 of 3 accounts would change" in text and "cpu = 36000 -> 72000" in text


def test_whom_waldur_would_slow_down_or_pause(site: Program) -> None:
    """550 hours of 500 are used: beyond any threshold, and beyond a grace of 5 % as well."""
    done = site("limits", "simulate", "--set", "grace_ratio=0.05")
    assert "a_busy: today 110 % are used (slowed down in Waldur), then 110 % (paused)" in done.out
    more = site("limits", "simulate", "--set", "limits.cpu=5000", "--json")
    told = {r["account"]: r["action"] for r in json.loads(more.out)["waldur_actions"]}
    assert told["a_busy"] == ["downscale", ""]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("grace_ratio", "expected KEY=VALUE"),
        ("nonsense=1", "expected KEY=VALUE"),
        ("grace_ratio=much", "not a number"),
        ("carryover_factor=101", "from 0 to 100"),
        ("carryover_enabled=perhaps", "true or false"),
        ("limit_type=GrpWall", "one of GrpTRESMins"),
        ("limits.nosuch=5", "no component nosuch"),
        ("limits.cpu=1e400", "larger than a cluster can hold"),
        ("tres_billing_weights.typo=3", "no component and no TRES of that name"),
    ],
)
def test_what_cannot_be_simulated_is_said(site: Program, given: str, said: str) -> None:
    done = site("limits", "simulate", "--set", given)
    assert done.code == 1 and said in done.err, done.both
