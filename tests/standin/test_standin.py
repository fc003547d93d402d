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
    portal.push()
    return portal


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
