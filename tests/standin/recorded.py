"""Objects as a real Waldur answered them, from which the stand-in makes its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"


def template(name: str) -> dict[str, Any]:
    """The first object of a recorded answer."""
    body = json.loads((SAMPLES / f"{name}.json").read_text())["response"]["body"]
    return dict(body[0] if isinstance(body, list) else body)


TEMPLATES = {
    "resource": template("provider_resources_list_full"),
    "order": template("orders_list_pending"),
    "offering_user": template("offering_users_list"),
    "team": template("provider_resource_team"),
    "permission": template("service_provider_project_permissions"),
    "provider": template("service_providers_list"),
    "offering": template("provider_offering_retrieve"),
    "project": template("service_provider_projects"),
    "policy": template("policies_list_by_offering"),
    "me": template("users_me_agent"),
    "usage": template("component_usages_list"),
    "user_usage": template("component_user_usages_list"),
    "plan_period": template("provider_resource_plan_periods_with_usage"),
}

# lists of newer servers that were not recorded: their shapes are the contract's (waldur-api-client 8.1.3)
TEMPLATES["user_limit"] = {"url": "", "uuid": "", "resource": "", "component": "", "user": "", "limit": "0.00"}
TEMPLATES["service_account"] = {
    "url": "", "uuid": "", "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
    "error_message": "", "state": "OK", "token": None, "expires_at": None, "project": None, "project_name": "",
    "customer_uuid": "0" * 32, "customer_name": "", "customer_abbreviation": "", "username": "",
}  # fmt: skip
TEMPLATES["course_account"] = {
    "url": "", "uuid": "", "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
    "project": "0" * 32, "project_name": "", "project_slug": "", "project_start_date": None, "project_end_date": None,
    "user_uuid": None, "username": "", "customer_uuid": "0" * 32, "customer_name": "", "state": "OK",
    "error_message": "", "error_traceback": "",
}  # fmt: skip
TEMPLATES["backend_resource"] = {
    "url": "", "uuid": "", "name": "", "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z",
    "project": "0" * 32, "project_name": "", "project_url": "", "offering": "0" * 32, "offering_name": "",
    "offering_url": "", "backend_id": "", "backend_metadata": {},
}  # fmt: skip
