"""What was charged, by account and user, to the cent and in the right month."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.moab.conftest import ACCOUNT
from tests.standin.mam import ledger as books
from tests.standin.mam.site import MoabSite
from tests.standin.portal import StandIn
from tests.standin.warehouse import CLIENT, SECRET, Warehouse
from tests.usage import LAST, THIS, held, report, users


@pytest.fixture
def site(applied: MoabSite) -> MoabSite:
    """A site that reports what MAM charged."""
    applied.document["offerings"][0]["reporting_backend"] = "moab"
    applied.document["reconcile"]["usage_minutes"] = 0
    pushed = applied("components", "push", "--auto-approve")
    assert pushed.code == 0, pushed.both
    return applied


def charged(
    site: MoabSite,
    amount: str,
    end: str = f"{THIS}-01 00:30:00",
    user: str = "amy",
    account: str = ACCOUNT,
    **more: Any,
) -> None:
    """A job that ended then."""
    site.do(lambda ledger: books.charge(ledger, account, user, amount, end, **more))


def test_charges_by_user_in_one_call_per_period(site: MoabSite, portal: StandIn) -> None:
    charged(site, "12.34")
    charged(site, "0.01")
    charged(site, "7.5", user="bob")
    charged(site, "100", user="eve", account="lab")
    site.forget()
    report(site)
    assert held(portal) == {"deposit": "19.85"}
    assert users(portal, "deposit") == {"amy": "12.35", "bob": "7.50"}
    calls = [c for c in site.calls() if c[0] == "mam-list-usagerecords"]
    assert len(calls) == 2, "this month and the last"
    assert all("-a" not in c and "T" not in "".join(c[-4:]) for c in calls), "a T would end the day at its midnight"
    assert "No changes" in report(site)


@pytest.mark.parametrize("precision", [0, 2, 3])
def test_sums_are_exact_and_rounded_once(site: MoabSite, portal: StandIn, precision: int) -> None:
    site.do(lambda ledger: ledger["settings"].update(precision=precision))
    for _ in range(3):
        charged(site, "1" if precision == 0 else "0.335" if precision == 3 else "0.33")
    report(site)
    expected = {0: "3.00", 2: "0.99", 3: "1.01"}  # 1.005, half up
    assert held(portal) == {"deposit": expected[precision]}


def test_a_job_counts_in_the_month_in_which_it_ended(site: MoabSite, portal: StandIn) -> None:
    """MAM's own filter for a month has it in neither."""
    charged(site, "5", f"{THIS}-01 06:00:00", hours=240)
    charged(site, "3", f"{LAST}-15 06:00:00")
    charged(site, "2", f"{THIS}-01 00:00:00", hours=1)
    report(site)
    assert held(portal) == {"deposit": "7.00"}
    assert held(portal, period=LAST) == {"deposit": "3.00"}


@pytest.mark.parametrize("t_times", ["midnight", "exact", "reject"])
def test_the_last_day_of_a_month_is_not_lost(site: MoabSite, portal: StandIn, t_times: str) -> None:
    site.do(lambda ledger: ledger["settings"].update(t_times=t_times))
    charged(site, "4", f"{LAST}-28 23:59:59")
    report(site)
    assert held(portal, period=LAST) == {"deposit": "4.00"}


def test_a_refund_lowers_a_month_that_is_over(site: MoabSite, portal: StandIn) -> None:
    charged(site, "10", f"{LAST}-15 06:00:00")
    charged(site, "1")
    report(site)
    site.do(lambda ledger: books.refund(ledger, 0, "4"))
    assert "No changes" not in report(site)
    assert held(portal, period=LAST) == {"deposit": "6.00"}


def test_records_without_an_end_or_a_charge_are_not_counted_yet(site: MoabSite, portal: StandIn) -> None:
    charged(site, "10")

    def still_open(ledger: books.Ledger) -> None:
        ledger["usage"] += [
            {**ledger["usage"][0], "charge": None}, {**ledger["usage"][0], "charge": 0},
            {**ledger["usage"][0], "end": ""},
        ]  # fmt: skip

    site.do(still_open)
    report(site)
    assert held(portal) == {"deposit": "10.00"}


def test_a_record_that_is_none_spoils_its_account_alone(site: MoabSite, portal: StandIn) -> None:
    portal.resource("other", limits={"deposit": 5})
    site.document["offerings"][0]["reporting_backend"] = ""
    assert site("apply", "--auto-approve").code == 0
    site.document["offerings"][0]["reporting_backend"] = "moab"
    charged(site, "3")
    charged(site, "2", account="a_other")
    site.do(lambda ledger: ledger["usage"].append({**ledger["usage"][0], "end": "yesterday"}))
    site.do(lambda ledger: ledger["usage"][2].update(end=f"{THIS}-01 25:00:00"))
    said = report(site, code=4)
    assert "1 of its records cannot be understood" in said
    assert held(portal, "other") == {"deposit": "2.00"}
    assert held(portal) == {}


def test_nobody_is_reported_as_nobody(site: MoabSite, portal: StandIn) -> None:
    charged(site, "3", user="")
    charged(site, "1")
    report(site)
    assert held(portal) == {"deposit": "4.00"}
    assert users(portal, "deposit") == {"amy": "1.00"}


def test_silence_is_no_zero(site: MoabSite, portal: StandIn) -> None:
    charged(site, "3")
    report(site)
    site.do(lambda ledger: ledger["settings"].update(role="filtered"))
    said = site("usage", "report", "--auto-approve")
    assert "knows no charge of anybody" in said.both
    assert held(portal) == {"deposit": "3.00"}


def test_an_account_that_ends_is_reported_to_the_end(site: MoabSite, portal: StandIn) -> None:
    charged(site, "42.5")
    order = portal.order("climate-a", "Terminate", "pending-provider")
    ran = site("apply", "--auto-approve")
    assert ran.code == 0, ran.both
    assert held(portal) == {"deposit": "42.50"}
    assert next(o for o in portal.world["orders"] if o["uuid"] == order["uuid"])["state"] == "done"
    assert site.ledger()["accounts"][ACCOUNT]["deleted"]


def test_charges_against_balances(site: MoabSite, portal: StandIn) -> None:
    charged(site, "30")
    report(site)
    fine = site("usage", "verify", "--json")
    assert fine.code == 0, fine.both
    site.do(lambda ledger: ledger["allocations"]["1"].update(amount=400 * books.MICRO))
    odd = site("usage", "verify", "--json")
    (row,) = [c for c in json.loads(odd.out)["comparisons"] if c["span"].startswith("all time")]
    assert row["differs"], row
    assert set(row["amounts"].values()) == {"30.00", "100.00"}


def test_past_months_are_filled_in(site: MoabSite, portal: StandIn) -> None:
    portal.edit("climate-a", created="2024-01-01T00:00:00Z")
    charged(site, "11", "2024-02-10 06:00:00")
    charged(site, "1")
    portal.world["staff"] = True
    portal.push()
    ran = site("usage", "backfill", "--from", "2024-01", "--to", "2024-03")
    assert ran.code == 0, ran.both
    assert held(portal, period="2024-02") == {"deposit": "11.00"}


def test_orders_and_money_here_usage_from_a_warehouse(site: MoabSite, portal: StandIn, warehouse: Warehouse) -> None:
    about = site.document["offerings"][0]
    about["reporting_backend"] = "cscs-dwdi-compute"
    about["backend_settings"] |= {
        "cscs_dwdi_api_url": warehouse.url, "cscs_dwdi_client_id": CLIENT, "cscs_dwdi_client_secret": SECRET,
        "cscs_dwdi_oidc_token_url": warehouse.token_url, "cscs_dwdi_cluster": "daint",
    }  # fmt: skip
    hours = {"measured_unit": "node-hours", "accounting_type": "usage", "unit_factor": 1, "label": "N"}
    about["backend_components"]["node_hours"] = hours
    site.document["reconcile"]["usage_minutes"] = 0
    assert site("components", "push", "--auto-approve").code == 0
    warehouse.hours(ACCOUNT, "amy", "12.5", cluster="daint", date=f"{THIS}-01")
    portal.edit("climate-a", limits={"deposit": 600})
    ran = site("apply", "--auto-approve")
    assert ran.code == 0, ran.both
    assert held(portal) == {"node_hours": "12.50"}
    assert site.money(ACCOUNT) == (600, 600)
    assert "are left out" not in ran.out, "another source tells what was used of it"
