"""Usage in the stand-in: totals, users' parts, plan periods."""

from __future__ import annotations

import re
import uuid as uuids
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tests.standin.habits import HTML_404, WORLD, denied, filtered, find, made, now, old_server, page, role
from tests.standin.recorded import TEMPLATES

router = APIRouter()


def usage_row(facts: dict[str, Any]) -> dict[str, Any]:
    """A row of WORLD["usages"]: resource uuid, type, billing_period, amount, plan (the plan period's uuid)."""
    owner = find("resources", facts["resource_uuid"]) or {}
    row = made("usage", {k: v for k, v in facts.items() if k not in ("plan", "users")})
    row["offering_uuid"] = facts.get("offering_uuid", WORLD["offering"]["uuid"])
    row["resource_name"] = owner.get("name", "")
    return row


def user_usage_rows() -> list[dict[str, Any]]:
    base = "http://waldur.test/api/marketplace-component-usages/"
    return [
        made(
            "user_usage",
            {
                "uuid": uuids.uuid5(uuids.NAMESPACE_OID, f"{usage['uuid']}/{name}").hex,
                "username": name,
                "usage": amount,
                "component_usage": f"{base}{usage['uuid']}/",
                "resource_uuid": usage["resource_uuid"],
                "offering_uuid": usage.get("offering_uuid", WORLD["offering"]["uuid"]),
                "component_type": usage["type"],
                "component_usage__billing_period": usage["billing_period"],
            },
        )
        for usage in WORLD.get("usages", [])
        for name, amount in usage.get("users", {}).items()
    ]


@router.get("/api/marketplace-component-usages/")
async def usages(request: Request) -> Response:
    rows = [usage_row(u) for u in WORLD.get("usages", [])]
    return page(filtered(rows, request, ("offering_uuid", "resource_uuid", "billing_period", "type")), request)


@router.get("/api/marketplace-component-user-usages/")
async def user_usages(request: Request) -> Response:
    keys = ("offering_uuid", "resource_uuid")  # older servers know no filter by month
    rows = user_usage_rows()
    return page(filtered(rows, request, keys if old_server() else (*keys, "component_usage__billing_period")), request)


@router.get("/api/marketplace-provider-resources/{uuid}/plan_periods/")
async def plan_periods(uuid: str) -> Response:
    """One open plan; rows of another plan belong to one that ended."""
    mine = [u for u in WORLD.get("usages", []) if u["resource_uuid"] == uuid.replace("-", "")]
    components = [usage_row(u) for u in mine if u.get("plan", "") == open_plan(uuid)]
    about = {"uuid": uuids.uuid5(uuids.NAMESPACE_OID, uuid).hex, "start": "2026-01-01T00:00:00Z", "end": None}
    return JSONResponse([{**TEMPLATES["plan_period"], **about, "components": components}])


def open_plan(resource: str) -> str:
    owner = find("resources", resource) or {}
    return str(owner.get("plan_period", ""))


@router.post("/api/marketplace-component-usages/set_usage/")
async def set_usage(request: Request) -> Response:
    if role() == "member":
        return denied()
    body = await request.json()
    owner = find("resources", str(body.get("resource", "")))
    if owner is None:
        return JSONResponse({"non_field_errors": ["Either plan_period or resource should be provided."]}, 400)
    if owner["state"] not in ("OK", "Updating", "Terminating"):
        return JSONResponse({"resource": ["Resource is not in valid state."]}, 400)
    offered = {c["type"]: c for c in WORLD["offering"].get("components", TEMPLATES["offering"]["components"])}
    wrong = [u["type"] for u in body["usages"] if u["type"] not in offered]
    if wrong:
        return JSONResponse({"non_field_errors": [f"These components are invalid: {', '.join(wrong)}."]}, 400)
    if any(not re.fullmatch(r"-?\d+(\.\d{1,2})?", str(u["amount"])) for u in body["usages"]):
        return JSONResponse({"usages": [{"amount": ["Ensure that there are no more than 2 decimal places."]}]}, 400)
    month = str(WORLD.get("today", now()))[:7]
    asked = month if old_server() else str(body.get("date") or month)[:7]
    for item in body["usages"]:
        about = offered[item["type"]]
        if asked != month and about.get("billing_type") != "limit" and not WORLD.get("staff"):
            return JSONResponse({"date": ["Only staff can set usage of past periods of usage-billed components."]}, 400)
        most = about.get("limit_amount") if about.get("billing_type") == "usage" else None
        if most is not None and float(item["amount"]) > float(most):
            text = f"Total amount exceeds limit. Total amount: {item['amount']}, limit: {most}."
            return JSONResponse([text], 400)
    for item in body["usages"]:
        wanted = (owner["uuid"], item["type"], f"{asked}-01", open_plan(owner["uuid"]))
        amount = f"{float(item['amount']):.2f}"
        for row in WORLD.setdefault("usages", []):
            if (row["resource_uuid"], row["type"], row["billing_period"], row.get("plan", "")) == wanted:
                row["usage"] = amount
                break
        else:
            keys = ("resource_uuid", "type", "billing_period", "plan")
            row = {**dict(zip(keys, wanted, strict=True)), "uuid": uuids.uuid4().hex, "usage": amount, "users": {}}
            WORLD["usages"].append(row)
    owner["current_usages"] = {u["type"]: u["amount"] for u in body["usages"]}
    return Response(status_code=201)


def set_one_user(row: dict[str, Any], item: dict[str, Any]) -> Response | None:
    if item.get("user", "") is None:
        return JSONResponse({"user": ["This field may not be null."]}, 400)
    row.setdefault("users", {})[item["username"]] = f"{float(item['usage']):.2f}"
    return None


@router.post("/api/marketplace-component-usages/{uuid}/{action}/")
async def set_user_usage(uuid: str, action: str, request: Request) -> Response:
    if action != "set_user_usage" and (action != "set_user_usages" or old_server()):
        return HTMLResponse(HTML_404, 404)
    row = next((u for u in WORLD.get("usages", []) if u["uuid"] == uuid.replace("-", "")), None)
    if row is None:
        return JSONResponse({"detail": "No ComponentUsage matches the given query."}, 404)
    body = await request.json()
    for item in body["usages"] if action == "set_user_usages" else [body]:
        if (wrong := set_one_user(row, item)) is not None:
            return wrong
    return Response(status_code=201)
