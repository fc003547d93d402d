"""Usage from DWDI told to Waldur: mixed offerings, falls that are right, silence that is not zero."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.usage.conftest import Jobs
from tests.conftest import Program, offering
from tests.fakes import answer, program
from tests.standin.portal import StandIn
from tests.standin.warehouse import CLIENT, SECRET, Warehouse
from tests.usage import THIS, held, report, users

COMPONENTS = {"node_hours": {"measured_unit": "node-hours", "accounting_type": "limit", "unit_factor": 1, "label": "N"}}


@pytest.fixture
def site(tmp_path: Any, portal: StandIn, warehouse: Warehouse, jobs: Jobs) -> Program:
    """Orders and members are SLURM's, usage is DWDI's."""
    program = Program(tmp_path)
    about = offering(
        portal.url,
        order_processing_backend="slurm",
        membership_sync_backend="slurm",
        reporting_backend="cscs-dwdi-compute",
        backend_components=COMPONENTS,
        backend_settings={
            "slurm_bin_path": str(jobs.directory),
            "cscs_dwdi_api_url": warehouse.url,
            "cscs_dwdi_client_id": CLIENT,
            "cscs_dwdi_client_secret": SECRET,
            "cscs_dwdi_oidc_token_url": warehouse.token_url,
        },
    )
    program.document["offerings"] = [about]
    program.document["reconcile"]["http_retries"] = 1
    program.document["reporting_periods"] = 1
    portal.world["offering"]["components"] = [{"uuid": "c" * 32, "type": "node_hours", "billing_type": "limit"}]
    portal.resource("g207", backend_id="g207", offering_backend_id="Daint", limits={"node_hours": 1000})
    portal.user("amy", "climate")
    portal.forget()
    return program


def test_a_mixed_offering(site: Program, portal: StandIn, warehouse: Warehouse) -> None:
    warehouse.hours("g207", "amy", "500.25", cluster="daint", date=f"{THIS}-01")
    warehouse.hours("g207", "amy", "0.5", cluster="daint", date=f"{THIS}-02")
    warehouse.hours("g207", "bob", "1000.5", cluster="daint", date=f"{THIS}-02")
    warehouse.hours("g207", "bob", "77", cluster="eiger", date=f"{THIS}-02")  # another cluster's
    report(site)
    assert held(portal, "g207") == {"node_hours": "1501.25"}
    assert users(portal, "node_hours", "g207") == {"amy": "500.75", "bob": "1000.50"}
    assert warehouse.issued() == 1  # one token for everything
    portal.forget()
    assert "No changes" in report(site)
    assert portal.writes() == []


def test_users_in_any_case(site: Program, portal: StandIn, warehouse: Warehouse) -> None:
    portal.user("Zoe", "climate")
    for name in ("Amy", "amy", "Zoe"):
        warehouse.hours("g207", name, "1.5", cluster="daint", date=f"{THIS}-01")
    report(site)
    assert users(portal, "node_hours", "g207") == {"amy": "3.00", "Zoe": "1.50"}
    assert "No changes" in report(site)


def test_an_answer_without_anybody_is_not_believed(site: Program, portal: StandIn, warehouse: Warehouse) -> None:
    warehouse.hours("g207", "amy", "500", cluster="daint", date=f"{THIS}-01")
    report(site)
    warehouse.reset()
    assert "it would fall from 500.00 to 0.00" in report(site, code=4)
    assert held(portal, "g207") == {"node_hours": "500.00"}


def test_two_offerings_with_one_account(site: Program, portal: StandIn, warehouse: Warehouse, tmp_path: Any) -> None:
    second = StandIn(tmp_path)
    try:
        second.reset(offering={**portal.world["offering"], "uuid": "f" * 32})
        second.resource("twin", backend_id="g207", offering_backend_id="daint")
        second.resource("own", backend_id="g300", offering_backend_id="daint")
        about = site.document["offerings"][0]
        about.update(order_processing_backend="", membership_sync_backend="")
        other = {**about, "name": "Second", "waldur_offering_uuid": "f" * 32, "waldur_api_url": second.url}
        site.document["offerings"].append(other)
        for account in ("g207", "g300"):
            warehouse.hours(account, "amy", "250", cluster="daint", date=f"{THIS}-01")
        assert "2 resources share 'daint/g207'" in report(site, code=4)
        assert (held(portal, "g207"), held(second, "twin")) == ({}, {})
        assert held(second, "own") == {"node_hours": "250.00"}
        # a portal that is away does not stop the other
        second.faults({"path": "provider-offerings", "status": 403, "times": 9})
        assert 'waldur.offering["Second"]  usage of' in report(site, code=1)
        assert held(portal, "g207") == {"node_hours": "250.00"}
    finally:
        second.stop()


def test_what_dwdi_takes_back_is_sent(site: Program, portal: StandIn, warehouse: Warehouse) -> None:
    warehouse.hours("g207", "amy", "500", cluster="daint", date=f"{THIS}-01")
    report(site)
    warehouse.reset()
    warehouse.hours("g207", "amy", "400", cluster="daint", date=f"{THIS}-01")
    report(site)
    assert held(portal, "g207") == {"node_hours": "400.00"}


@pytest.mark.parametrize(
    "fault",
    [
        {"body": "<html>maintenance</html>", "status": 200},
        {"body": '{"detail": "down"}', "status": 200},
        {"body": '{"compute": null}', "status": 200},
        {"status": 503},
    ],
)
def test_silence_is_not_zero(site: Program, portal: StandIn, warehouse: Warehouse, fault: dict[str, Any]) -> None:
    warehouse.hours("g207", "amy", "500", cluster="daint", date=f"{THIS}-01")
    report(site)
    warehouse.faults({"path": "compute/usage-month", "times": 9, **fault})
    said = report(site, code=1)
    assert "compute/usage-month/account" in said
    assert held(portal, "g207") == {"node_hours": "500.00"}


def test_show_and_verify_beside_slurm(site: Program, portal: StandIn, warehouse: Warehouse, jobs: Jobs) -> None:
    warehouse.hours("g207", "amy", "250", cluster="daint", date=f"{THIS}-01")
    assert "250.00" in site("usage", "show").out
    said = site("usage", "verify", "--all")
    assert "DWDI" in said.out and "sacct" in said.out and "DIFFERS" in said.out


def test_online_check(site: Program, portal: StandIn, warehouse: Warehouse, jobs: Jobs) -> None:
    program(jobs.directory, "sacctmgr", answer("Cluster\ntestbed"))
    ran = site("config", "check", "--online")
    assert ran.code == 0, ran.both
    assert "usage from DWDI compute: token for" in ran.out
    assert "slurmdbd answers, clusters: testbed" in ran.out
    assert "Waldur: offering 'Cluster A' as user" in ran.out
    site.document["offerings"][0]["backend_settings"]["cscs_dwdi_client_secret"] = "wrong-s3cret"
    ran = site("config", "check", "--online")
    assert ran.code == 1
    assert "FAIL" in ran.out and "wrong-s3cret" not in ran.both


def test_only_reporting_needs_no_cluster(site: Program, portal: StandIn, warehouse: Warehouse) -> None:
    about = site.document["offerings"][0]
    about.update(order_processing_backend="", membership_sync_backend="")
    warehouse.hours("g207", "amy", "250", cluster="daint", date=f"{THIS}-01")
    assert site("apply", "--auto-approve").code == 0
    assert held(portal, "g207") == {"node_hours": "250.00"}
    assert site("plan", "--detailed-exitcode").code == 0
