"""The stand-in itself, checked against recordings of the real server and the generated client's models."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.standin.portal import OFFERING, TOKEN, StandIn, uid

SAMPLES = Path(__file__).parent / "samples"
AUTH = {"Authorization": f"Token {TOKEN}"}


def get(portal: StandIn, path: str, **headers: str) -> requests.Response:
    return requests.get(portal.url + path, headers=headers or AUTH, timeout=30)


@pytest.fixture
def full(portal: StandIn) -> StandIn:
    portal.resource("a")
    portal.user("ann", "climate")
    portal.order("a", "Update")
    portal.world["policies"].append({})
    portal.world["user_limits"] = [{"uuid": uid("l"), "component": uid("c"), "component_type": "cpu"}]
    portal.world["service_accounts"] = [{"uuid": uid("s"), "project_uuid": uid("p"), "username": "svc"}]
    portal.world["course_accounts"] = [{"uuid": uid("k"), "project_uuid": uid("p"), "username": "course"}]
    portal.world["backend_resources"] = [{"uuid": uid("b"), "offering_uuid": OFFERING, "backend_id": "x"}]
    portal.push()
    return portal


# lists of newer servers, which could not be recorded: the generated client is all there is to check them by
UNRECORDED = {
    "component-user-usage-limits/": "component_user_usage_limit.ComponentUserUsageLimit",
    "marketplace-project-service-accounts/": "project_service_account.ProjectServiceAccount",
    "marketplace-course-accounts/": "course_account.CourseAccount",
    f"backend-resources/?offering_uuid={OFFERING}": "backend_resource.BackendResource",
}


PATHS = {
    "marketplace-provider-resources/": ("resource.Resource", "provider_resources_list_full"),
    "marketplace-orders/": ("order_details.OrderDetails", "orders_list_pending"),
    "marketplace-offering-users/": ("offering_user.OfferingUser", "offering_users_list"),
    f"marketplace-provider-resources/{uid('resource', 'a')}/team/": (
        "project_user.ProjectUser",
        "provider_resource_team",
    ),
    "marketplace-service-providers/": ("service_provider.ServiceProvider", "service_providers_list"),
    "marketplace-service-providers/1/project_permissions/": (
        "project_permission_log.ProjectPermissionLog",
        "service_provider_project_permissions",
    ),
    "marketplace-service-providers/1/projects/": ("project.Project", "service_provider_projects"),
    f"marketplace-provider-offerings/{OFFERING}/": (
        "provider_offering_details.ProviderOfferingDetails",
        "provider_offering_retrieve",
    ),
    "marketplace-slurm-periodic-usage-policies/": (
        "slurm_periodic_usage_policy.SlurmPeriodicUsagePolicy",
        "policies_list_by_offering",
    ),
    "users/me/": ("user_me.UserMe", "users_me_agent"),
}
# defects of the generated client: it insists on dates that the real server sends as null
DAY = "2027-01-01T00:00:00Z"
NEVER_NULL = {
    "project_permission_log.ProjectPermissionLog": {"project_end_date": DAY},
    "slurm_periodic_usage_policy.SlurmPeriodicUsagePolicy": {"fired_datetime": DAY},
}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_parses_with_the_generated_client(full: StandIn, path: str) -> None:
    module, _, name = PATHS[path][0].partition(".")
    model = getattr(importlib.import_module(f"waldur_api_client.models.{module}"), name)
    answer = get(full, path).json()
    rows = answer if isinstance(answer, list) else [answer]
    assert rows
    for row in rows:
        model.from_dict({**row, **NEVER_NULL.get(PATHS[path][0], {})})


@pytest.mark.parametrize("path", UNRECORDED)
def test_every_unrecorded_list_parses_with_the_generated_client(full: StandIn, path: str) -> None:
    module, _, name = UNRECORDED[path].partition(".")
    model = getattr(importlib.import_module(f"waldur_api_client.models.{module}"), name)
    (row,) = get(full, path).json()
    model.from_dict(row)


@pytest.mark.parametrize("path", PATHS)
def test_every_key_of_the_recordings_is_served(full: StandIn, path: str) -> None:
    body = json.loads((SAMPLES / f"{PATHS[path][1]}.json").read_text())["response"]["body"]
    recorded = body[0] if isinstance(body, list) else body
    answer = get(full, path).json()
    served = answer[0] if isinstance(answer, list) else answer
    assert recorded.keys() <= served.keys()


def recorded(name: str) -> dict[str, Any]:
    return dict(json.loads((SAMPLES / f"{name}.json").read_text())["response"])


def test_habits_are_those_of_the_recordings(full: StandIn) -> None:
    bad = get(full, "users/me/", Authorization="Token nonsense")
    assert (bad.status_code, bad.json()) == (401, recorded("bad_token")["body"])
    state = get(full, f"marketplace-provider-resources/?offering_uuid={OFFERING}&state=ok")
    assert (state.status_code, state.json()) == (400, recorded("provider_resources_list_bad_state")["body"])
    beyond = get(full, "marketplace-provider-resources/?page=99&page_size=2")
    assert (beyond.status_code, beyond.json()) == (404, recorded("provider_resources_list_page_beyond_end")["body"])
    missing = get(full, "marketplace-provider-resources/00000000000000000000000000000000/")
    assert (missing.status_code, missing.json()) == (404, recorded("provider_resource_not_found")["body"])
    for number in range(7):
        full.resource(f"more {number}")
    page = get(
        full, f"marketplace-provider-resources/?offering_uuid={OFFERING}&page=1&page_size=2&field=uuid&field=name"
    )
    sample = recorded("provider_resources_list_page1")
    assert page.headers["X-Result-Count"] == sample["headers"]["X-Result-Count"]
    assert [sorted(r) for r in page.json()] == [sorted(r) for r in sample["body"]]
    rels = [part.split("rel=")[1] for part in page.headers["Link"].split(", ")]
    assert rels == [part.split("rel=")[1] for part in sample["headers"]["Link"].split(", ")]
    done = requests.post(
        full.url + f"marketplace-orders/{uid('order', 'a', 'Update')}/set_state_done/", headers=AUTH, timeout=30
    )
    assert done.status_code == 200
    again = requests.post(
        full.url + f"marketplace-orders/{uid('order', 'a', 'Update')}/set_state_done/", headers=AUTH, timeout=30
    )
    assert (again.status_code, again.json()) == (409, recorded("order_set_state_done_wrong_state")["body"])


def test_unknown_things_are_ignored_as_the_real_one_does(full: StandIn) -> None:
    assert len(get(full, "marketplace-provider-resources/?ofering_uuid=typo").json()) == 1
    assert len(get(full, "marketplace-provider-resources/?field=nosuch").json()[0]) > 40
    lost = get(full, "nosuch/")
    assert lost.status_code == 404
    assert lost.headers["content-type"].startswith("text/html")


# ---------------------------------------------------------------------- the state machine of orders


def post(portal: StandIn, path: str, body: Any = None) -> requests.Response:
    return requests.post(portal.url + path, headers=AUTH, json=body, timeout=30)


def step(portal: StandIn, kind: str, action: str, body: Any = None) -> requests.Response:
    return post(portal, f"marketplace-orders/{uid('order', 'a', kind)}/{action}/", body)


# what the recorded server did: order type, steps, the states of order and resource afterwards
WALKS = [
    ("Create", "Creating", ["approve_by_provider"], "executing", "Creating"),
    ("Create", "Creating", ["approve_by_provider", "set_state_done"], "done", "OK"),
    ("Create", "Creating", ["approve_by_provider", "set_state_erred"], "erred", "Erred"),
    ("Create", "Creating", ["reject_by_provider"], "rejected", "Terminated"),
    ("Create", "Creating", ["approve_by_provider", "set_state_erred", "set_state_executing"], "executing", "Creating"),
    ("Update", "OK", ["approve_by_provider"], "executing", "Updating"),
    ("Update", "OK", ["approve_by_provider", "set_state_done"], "done", "OK"),
    ("Update", "OK", ["approve_by_provider", "set_state_erred"], "erred", "Erred"),
    ("Terminate", "OK", ["approve_by_provider"], "executing", "Terminating"),
    ("Terminate", "OK", ["approve_by_provider", "set_state_done"], "done", "Terminated"),
    ("Terminate", "OK", ["approve_by_provider", "set_state_erred"], "erred", "OK"),
    ("Terminate", "OK", ["approve_by_provider", "set_state_erred", "set_state_executing"], "executing", "OK"),
]
ERROR = {"error_message": "m", "error_traceback": ""}


@pytest.mark.parametrize(("kind", "before", "steps", "order", "resource"), WALKS)
def test_orders_walk_as_the_recorded_ones(
    portal: StandIn, kind: str, before: str, steps: list[str], order: str, resource: str
) -> None:
    portal.resource("a", state=before, limits={"cpu": 1})
    portal.order("a", kind, "pending-provider", limits={"cpu": 5})
    for name in steps:
        assert step(portal, kind, name, ERROR if name == "set_state_erred" else None).status_code == 200
    assert portal.found("order", "a", kind)["state"] == order
    after = portal.found("resource", "a")
    assert after["state"] == resource
    # limits change when an update is done, not before
    assert after["limits"] == {"cpu": 5 if kind == "Update" and order == "done" else 1}


def test_wrong_steps_are_refused_as_recorded(portal: StandIn) -> None:
    portal.resource("a", state="Creating")
    portal.order("a", "Create", "executing")
    wrong = step(portal, "Create", "approve_by_provider")
    sample = recorded("order_approve_by_provider_wrong_state")
    assert wrong.status_code == sample["status"]
    assert step(portal, "Create", "set_state_done").status_code == 200
    assert step(portal, "Create", "set_state_erred", ERROR).status_code == 409
    portal.world["version"] = "7.0.7"
    portal.push()
    portal.order("a", "Update", "executing")
    missing = step(portal, "Update", "set_state_erred", {})
    assert missing.status_code == recorded("order_set_state_erred_missing_fields")["status"]


def test_writes_answer_as_recorded(portal: StandIn) -> None:
    portal.resource("a")
    base = f"marketplace-provider-resources/{uid('resource', 'a')}"
    portal.user("ann", "climate")
    user = f"marketplace-offering-users/{uid('offering_user', 'ann')}/"
    offered = f"marketplace-provider-offerings/{OFFERING}"
    new = {"type": "node", "name": "Node", "measured_unit": "h", "billing_type": "limit"}
    for name, answer in (
        ("provider_resource_set_backend_id", post(portal, f"{base}/set_backend_id/", {"backend_id": "x"})),
        (
            "provider_resource_set_backend_metadata",
            post(portal, f"{base}/set_backend_metadata/", {"backend_metadata": {}}),
        ),
        ("offering_component_create", post(portal, f"{offered}/create_offering_component/", new)),
        ("offering_component_create_duplicate", post(portal, f"{offered}/create_offering_component/", new)),
        ("offering_component_update_no_uuid", post(portal, f"{offered}/update_offering_component/", new)),
        (
            "offering_user_patch_username",
            requests.patch(portal.url + user, headers=AUTH, json={"username": "u"}, timeout=9),
        ),
    ):
        assert answer.status_code == recorded(name)["status"], name
    portal.world["version"] = "7.0.7"
    portal.push()
    for name, action in (
        ("provider_resource_refresh_last_sync_absent", "refresh_last_sync"),
        ("provider_resource_set_as_ok_absent", "set_as_ok"),
        ("provider_resource_set_as_erred_agent", "set_as_erred"),
    ):
        answer = post(portal, f"{base}/{action}/", {"error_message": "e"})
        assert answer.status_code == recorded(name)["status"], name
