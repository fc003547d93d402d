"""A stand-in for Waldur's REST API: real HTTP, recorded shapes, the real server's habits.

Run as its own process: ``python -m tests.standin.server PORT_FILE``. What it serves is set over HTTP below
``/control``; everything below ``/api`` behaves like the recorded server: paging with X-Result-Count and Link,
``page_size`` cut to 300 silently, unknown filters ignored, wrong filter values 400, ``field=`` selection,
order states with 409, HTML error pages.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import socket
import sys
import uuid as uuids
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

SAMPLES = Path(__file__).parent / "samples"
CAP = 300
RESOURCE_STATES = ("Creating", "OK", "Erred", "Updating", "Terminating", "Terminated")
ORDER_STATES = [
    "pending-consumer",
    "pending-provider",
    "pending-project",
    "pending-start-date",
    "executing",
    "done",
    "erred",
    "canceled",
    "rejected",
]
SLUGS = ("project_slug", "customer_slug")
HTML_404 = "<!doctype html><html><head><title>Not Found</title></head><body><h1>Not Found</h1></body></html>"
HTML_500 = (
    "<!doctype html><html><head><title>Server Error (500)</title></head><body><h1>Server Error</h1></body></html>"
)


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

app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
WORLD: dict[str, Any] = {}
FAULTS: list[dict[str, Any]] = []
LOG: list[dict[str, Any]] = []
WRITES = [0]


@app.put("/control/world")
async def set_world(request: Request) -> dict[str, bool]:
    WORLD.clear()
    WORLD.update(await request.json())
    return {"ok": True}


@app.get("/control/world")
async def get_world() -> Any:
    return WORLD


@app.get("/control/writes")
async def get_writes() -> int:
    return WRITES[0]


@app.put("/control/faults")
async def set_faults(request: Request) -> dict[str, bool]:
    FAULTS[:] = await request.json()
    return {"ok": True}


@app.get("/control/log")
async def get_log() -> Any:
    return LOG


@app.delete("/control/log")
async def clear_log() -> dict[str, bool]:
    LOG.clear()
    return {"ok": True}


# ---------------------------------------------------------------------- the API's habits


async def _dripping(pause: float) -> AsyncIterator[bytes]:
    yield b"["
    while True:
        await asyncio.sleep(pause)
        yield b" "


@app.middleware("http")
async def habits(request: Request, call_next: Callable[[Request], Any]) -> Response:
    path = request.url.path
    if path.startswith("/control"):
        return cast(Response, await call_next(request))
    body = (await request.body()).decode("utf-8", "replace")
    WRITES[0] += request.method not in ("GET", "HEAD")
    peer = request.client.port if request.client else 0
    LOG.append(
        {"method": request.method, "path": path, "query": request.url.query, "body": body, "connection": str(peer)}
    )
    for fault in FAULTS:
        if fault.get("times", 1) > 0 and re.search(fault["path"], f"{path}?{request.url.query}"):
            fault["times"] = fault.get("times", 1) - 1
            if fault.get("after"):  # it is done, and the answer is lost
                await call_next(request)
            if fault.get("sleep"):
                await asyncio.sleep(fault["sleep"])
            if fault.get("change"):  # the world moves between two pages
                for key, value in fault["change"].items():
                    WORLD[key] = value
                break
            if fault.get("drip"):  # a byte now and then, and no end
                return StreamingResponse(_dripping(fault["drip"]), fault["status"], headers=fault.get("headers"))
            # what an unlucky server shows of a request in its error page
            body = fault.get("body", "").replace("<<HEADERS>>", json.dumps(dict(request.headers)))
            return Response(body, fault["status"], headers=fault.get("headers"))
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        return JSONResponse({"detail": "Authentication credentials were not provided."}, 401)
    if scheme.lower() != "token" or token != WORLD.get("token", "secret"):
        return JSONResponse({"detail": "Invalid token."}, 401, headers={"WWW-Authenticate": "Token"})
    return cast(Response, await call_next(request))


def denied() -> Response:
    return JSONResponse({"detail": "You do not have permission to perform this action."}, 403)


def role() -> str:
    """owner of the provider organization, manager of the offering, or member of a project."""
    return str(WORLD.get("role", "owner"))


def old_server() -> bool:
    return str(WORLD.get("version", "8.1")) == "7.0.7"


def selected(row: dict[str, Any], request: Request) -> dict[str, Any]:
    wanted = [f for f in request.query_params.getlist("field") if f in row]
    return {f: row[f] for f in wanted} if wanted else row


def page(rows: list[dict[str, Any]], request: Request) -> Response:
    query = request.query_params
    try:
        asked = int(query.get("page_size", 10))
        number = int(query.get("page", 1))
    except ValueError:
        return JSONResponse({"detail": "Invalid page."}, 404)
    size = min(max(asked, 1), int(WORLD.get("cap", CAP)))
    last = max(1, -(-len(rows) // size))
    if not 1 <= number <= last:
        return JSONResponse({"detail": "Invalid page."}, 404)
    base = f"{request.url.scheme}://{WORLD.get('public_host', request.url.netloc)}{request.url.path}"
    others = [(k, v) for k, v in query.multi_items() if k != "page"]

    def link(to: int, rel: str) -> str:
        pairs = [*others, *([("page", str(to))] if to > 1 else [])]
        return f'<{base}?{urlencode(pairs)}>; rel="{rel}"'

    links = [link(1, "first")]
    if number > 1:
        links.append(link(number - 1, "prev"))
    if number < last:
        links.append(link(number + 1, "next"))
    links.append(link(last, "last"))
    body = [selected(r, request) for r in rows[(number - 1) * size : number * size]]
    return JSONResponse(body, headers={"X-Result-Count": str(len(rows)), "Link": ", ".join(links)})


def bad_choice(request: Request, key: str, allowed: tuple[str, ...] | list[str]) -> Response | None:
    for value in request.query_params.getlist(key):
        if value not in allowed:
            message = f"Select a valid choice. {value} is not one of the available choices."
            return JSONResponse({key: [message]}, 400)
    return None


def bad_uuid(request: Request, key: str) -> Response | None:
    for value in request.query_params.getlist(key):
        if not re.fullmatch(r"[0-9a-f]{32}", value.replace("-", "")):
            return JSONResponse({key: ["Enter a valid UUID."]}, 400)
    return None


def filtered(rows: list[dict[str, Any]], request: Request, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    if WORLD.get("ignore_filters"):
        return rows
    for key in keys:
        wanted = [v.replace("-", "") if key.endswith("uuid") else v for v in request.query_params.getlist(key)]
        if wanted:
            rows = [r for r in rows if str(r.get(key)) in wanted]
    return rows


def made(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    row = copy.deepcopy(TEMPLATES[kind])
    row.update(facts)
    for key in facts.get("_without", ()):
        row.pop(key, None)
    row.pop("_without", None)
    return row


def resource_row(facts: dict[str, Any]) -> dict[str, Any]:
    row = made("resource", {"offering_uuid": WORLD["offering"]["uuid"], **facts})
    row.setdefault("last_sync", now())
    if old_server():
        for key in (*SLUGS, "last_sync"):
            row.pop(key, None)
    return row


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---------------------------------------------------------------------- reading


@app.get("/api/users/me/")
async def me(request: Request) -> Response:
    about = {**TEMPLATES["me"], "is_staff": bool(WORLD.get("staff"))}
    return JSONResponse(selected(about, request))


@app.get("/api/marketplace-provider-offerings/{uuid}/")
async def offering(uuid: str, request: Request) -> Response:
    if uuid.replace("-", "") != WORLD["offering"]["uuid"]:
        return JSONResponse({"detail": "No Offering matches the given query."}, 404)
    return JSONResponse(selected(made("offering", WORLD["offering"]), request))


@app.get("/api/marketplace-provider-resources/")
async def resources(request: Request) -> Response:
    wrong = bad_choice(request, "state", RESOURCE_STATES) or bad_uuid(request, "offering_uuid")
    if wrong:
        return wrong
    rows = [resource_row(r) for r in WORLD.get("resources", [])] if role() != "member" else []
    return page(filtered(rows, request, ("offering_uuid", "state", "backend_id", "project_uuid", "slug")), request)


@app.get("/api/marketplace-provider-resources/{uuid}/")
async def resource(uuid: str, request: Request) -> Response:
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    return JSONResponse(selected(resource_row(found), request))


@app.get("/api/marketplace-provider-resources/{uuid}/team/")
async def team(uuid: str) -> Response:
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    users = {u["user_uuid"]: u for u in WORLD.get("offering_users", [])}
    rows = {}
    for permission in WORLD.get("permissions", []):
        if permission["project_uuid"] == found["project_uuid"]:
            user = permission["user_uuid"]
            rows[user] = made(
                "team",
                {
                    "uuid": user,
                    "username": permission.get("user_username", user),
                    "role": permission.get("role", "member"),
                    "expiration_time": permission.get("expiration_time"),
                    "offering_user_username": users.get(user, {}).get("username"),
                    "offering_user_state": users.get(user, {}).get("state"),
                },
            )
    return JSONResponse(list(rows.values()))


@app.get("/api/marketplace-orders/")
async def orders(request: Request) -> Response:
    wrong = bad_choice(request, "state", ORDER_STATES) or bad_uuid(request, "offering_uuid")
    if wrong:
        return wrong
    rows = [made("order", {"offering_uuid": WORLD["offering"]["uuid"], **o}) for o in WORLD.get("orders", [])]
    return page(filtered(rows, request, ("offering_uuid", "state", "type", "resource_uuid")), request)


@app.get("/api/marketplace-orders/{uuid}/")
async def order(uuid: str, request: Request) -> Response:
    found = find("orders", uuid)
    if found is None:
        return JSONResponse({"detail": "No Order matches the given query."}, 404)
    return JSONResponse(selected(made("order", found), request))


@app.get("/api/marketplace-offering-users/")
async def offering_users(request: Request) -> Response:
    if wrong := bad_uuid(request, "offering_uuid"):
        return wrong
    about = {"offering_uuid": WORLD["offering"]["uuid"]}
    rows = [made("offering_user", {**about, **u}) for u in WORLD.get("offering_users", [])]
    return page(filtered(rows, request, ("offering_uuid", "user_uuid", "username")), request)


@app.get("/api/marketplace-offering-users/{uuid}/")
async def offering_user(uuid: str, request: Request) -> Response:
    found = find("offering_users", uuid)
    if found is None:
        return JSONResponse({"detail": "No OfferingUser matches the given query."}, 404)
    return JSONResponse(selected(made("offering_user", found), request))


@app.get("/api/component-user-usage-limits/")
async def user_limits(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    rows = [made("user_limit", r) for r in WORLD.get("user_limits", [])]
    return page(rows, request)


@app.get("/api/marketplace-project-service-accounts/")
async def service_accounts(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    return page([made("service_account", r) for r in WORLD.get("service_accounts", [])], request)


@app.get("/api/marketplace-course-accounts/")
async def course_accounts(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    return page([made("course_account", r) for r in WORLD.get("course_accounts", [])], request)


@app.get("/api/backend-resources/")
async def backend_resources(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    rows = [made("backend_resource", r) for r in WORLD.get("backend_resources", [])]
    return page(filtered(rows, request, ("offering_uuid", "backend_id")), request)


@app.get("/api/marketplace-service-providers/")
async def providers(request: Request) -> Response:
    row = made("provider", {"uuid": "0" * 31 + "1", "customer_uuid": WORLD["offering"]["customer_uuid"]})
    return page(filtered([row], request, ("customer_uuid",)), request)


@app.get("/api/marketplace-service-providers/{uuid}/project_permissions/")
async def permissions(uuid: str, request: Request) -> Response:
    if role() != "owner":
        return denied()
    return page([made("permission", p) for p in WORLD.get("permissions", [])], request)


@app.get("/api/marketplace-service-providers/{uuid}/projects/")
async def projects(uuid: str, request: Request) -> Response:
    if role() != "owner":
        return denied()
    return page([made("project", p) for p in WORLD.get("projects", [])], request)


@app.get("/api/marketplace-slurm-periodic-usage-policies/")
async def policies(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    rows = [made("policy", {"scope_uuid": WORLD["offering"]["uuid"], **p}) for p in WORLD.get("policies", [])]
    return page(filtered(rows, request, ("scope_uuid",)), request)


# ---------------------------------------------------------------------- writing: states of orders and resources


def find(kind: str, uuid: str) -> dict[str, Any] | None:
    return next((o for o in WORLD.get(kind, []) if o["uuid"] == uuid.replace("-", "")), None)


_FROM = {
    "approve_by_provider": ("pending-provider",),
    "reject_by_provider": ("pending-provider",),
    "set_state_executing": ("pending-consumer", "pending-provider", "erred"),
    "set_state_done": ("executing",),
    "set_state_erred": ("executing",),
}
_TO = {
    "approve_by_provider": "executing",
    "reject_by_provider": "rejected",
    "set_state_executing": "executing",
    "set_state_done": "done",
    "set_state_erred": "erred",
}
_DURING = {"Create": "Creating", "Update": "Updating", "Terminate": "Terminating"}


@app.post("/api/marketplace-orders/{uuid}/{action}/")
async def order_action(uuid: str, action: str, request: Request) -> Response:
    found = find("orders", uuid)
    if action not in _FROM:
        return HTMLResponse(HTML_404, 404)
    if role() == "manager":
        return denied()
    if found is None:
        return JSONResponse({"detail": "No Order matches the given query."}, 404)
    if found["state"] not in _FROM[action]:
        return JSONResponse({"detail": f"Valid states for operation: {', '.join(_FROM[action])}."}, 409)
    body = json.loads(await request.body() or b"{}")
    if action == "set_state_erred" and old_server() and not {"error_message", "error_traceback"} <= body.keys():
        return HTMLResponse(HTML_500, 500)
    found["state"] = _TO[action]
    if action == "set_state_erred":
        found.update({k: body.get(k, "") for k in ("error_message", "error_traceback")})
    owner = find("resources", found["marketplace_resource_uuid"])
    if owner is not None:
        _move(owner, found, action)
    return Response(status_code=200)


def _move(resource: dict[str, Any], order: dict[str, Any], action: str) -> None:
    kind = order["type"]
    if action == "approve_by_provider" or (action == "set_state_executing" and kind != "Terminate"):
        # a failed Terminate that is tried again leaves its resource OK
        resource["state"] = _DURING.get(kind, resource["state"])
    elif action == "set_state_done":
        resource["state"] = "Terminated" if kind == "Terminate" else "OK"
        if kind == "Update":
            resource["limits"] = order.get("limits", resource.get("limits"))
    elif action == "set_state_erred":
        resource["state"] = "OK" if kind == "Terminate" else "Erred"
    elif action == "reject_by_provider" and kind == "Create":
        resource["state"] = "Terminated"


@app.post("/api/marketplace-provider-resources/{uuid}/set_backend_id/")
async def set_backend_id(uuid: str, request: Request) -> Response:
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    body = await request.json()
    if not isinstance(body.get("backend_id"), str):
        return JSONResponse({"backend_id": ["This field is required."]}, 400)
    found["backend_id"] = body["backend_id"]
    return JSONResponse({"status": "Resource backend_id has been changed."})


@app.patch("/api/marketplace-provider-resources/{uuid}/")
async def patch_resource(uuid: str) -> Response:
    found = find("resources", uuid)
    # 200, and flags do not change: that is what the real one does
    return JSONResponse(resource_row(found)) if found else JSONResponse({"detail": "Not found."}, 404)


@app.post("/api/marketplace-provider-resources/{uuid}/{action}/")
async def resource_action(uuid: str, action: str, request: Request) -> Response:
    if action not in _RESOURCE_ACTIONS or (old_server() and action not in ("set_backend_metadata", "set_as_erred")):
        return HTMLResponse(HTML_404, 404)
    if old_server() and action == "set_as_erred":
        return denied()
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    body = json.loads(await request.body() or b"null") or {}
    return _RESOURCE_ACTIONS[action](found, body)


def _metadata(resource: dict[str, Any], body: dict[str, Any]) -> Response:
    if not isinstance(body.get("backend_metadata"), dict):
        return JSONResponse({"backend_metadata": ["This field is required."]}, 400)
    resource["backend_metadata"] = body["backend_metadata"]
    return JSONResponse({"status": "The backend metadata is updated"})


def _state_ok(resource: dict[str, Any], body: dict[str, Any]) -> Response:
    resource.update(state="OK", error_message="", error_traceback="")
    return JSONResponse({"status": "ok"})


def _as_erred(resource: dict[str, Any], body: dict[str, Any]) -> Response:
    resource.update(state="Erred", **{k: body.get(k, "") for k in ("error_message", "error_traceback")})
    return Response(status_code=200)


def _sync(resource: dict[str, Any], body: dict[str, Any]) -> Response:
    resource["last_sync"] = now()
    return Response(status_code=200)


def _set_limits(resource: dict[str, Any], body: dict[str, Any]) -> Response:
    resource["limits"] = body["limits"]
    return JSONResponse({"status": "Resource limits have been updated."})


_RESOURCE_ACTIONS = {
    "set_backend_metadata": _metadata,
    "set_state_ok": _state_ok,
    "set_as_erred": _as_erred,
    "refresh_last_sync": _sync,
    "set_limits": _set_limits,
}


# ---------------------------------------------------------------------- offering users and components


@app.patch("/api/marketplace-offering-users/{uuid}/")
async def patch_offering_user(uuid: str, request: Request) -> Response:
    found = find("offering_users", uuid)
    if found is None:
        return JSONResponse({"detail": "Not found."}, 404)
    body = await request.json()
    if "username" in body:
        found["username"] = body["username"]
        if not old_server():
            found["state"] = "OK"
    return JSONResponse(made("offering_user", {"offering_uuid": WORLD["offering"]["uuid"], **found}))


_USER_FROM = {
    "begin_creating": ("Requested", "Error creating"),
    "set_ok": ("Creating", "Pending account linking", "Pending additional validation", "Error creating"),
    "set_error_creating": ("Requested", "Creating", "Pending account linking", "Pending additional validation"),
}
_USER_TO = {"begin_creating": "Creating", "set_ok": "OK", "set_error_creating": "Error creating"}


@app.post("/api/marketplace-offering-users/{uuid}/{action}/")
async def offering_user_action(uuid: str, action: str) -> Response:
    if action not in _USER_FROM or old_server():
        return HTMLResponse(HTML_404, 404)
    found = find("offering_users", uuid)
    if found is None:
        return JSONResponse({"detail": "No OfferingUser matches the given query."}, 404)
    if found.get("state") not in _USER_FROM[action]:
        return JSONResponse({"detail": f"Valid states for operation: {', '.join(_USER_FROM[action])}."}, 409)
    found["state"] = _USER_TO[action]
    return Response(status_code=200)


@app.post("/api/marketplace-provider-offerings/{uuid}/{action}/")
async def component_action(uuid: str, action: str, request: Request) -> Response:
    if uuid.replace("-", "") != WORLD["offering"]["uuid"]:
        return JSONResponse({"detail": "No Offering matches the given query."}, 404)
    offered = WORLD["offering"].setdefault("components", copy.deepcopy(TEMPLATES["offering"]["components"]))
    body = await request.json()
    if action == "create_offering_component":
        if any(c["type"] == body["type"] for c in offered):
            return HTMLResponse(HTML_500, 500)
        offered.append({**offered_defaults(), "uuid": uuids.uuid4().hex, **body})
        return Response(status_code=201)
    if action not in ("update_offering_component", "remove_offering_component"):
        return HTMLResponse(HTML_404, 404)
    if "uuid" not in body:
        return JSONResponse({"uuid": ["This field is required."]}, 400)
    found = next((c for c in offered if c["uuid"] == body["uuid"].replace("-", "")), None)
    if found is None:
        return JSONResponse({"detail": "Not found."}, 404)
    if action == "update_offering_component":
        found.update(body)
        return Response(status_code=200)
    if found["type"] in WORLD.get("used_components", ()):
        text = f"The component {found['name']} cannot be removed because it is already used"
        return JSONResponse({"details": text}, 400)
    offered.remove(found)
    return Response(status_code=204)


def offered_defaults() -> dict[str, Any]:
    blank = dict(TEMPLATES["offering"]["components"][0])
    return {
        k: (v if isinstance(v, bool) else None if v is None or k.endswith("period") else "") for k, v in blank.items()
    }


@app.post("/api/backend-resources/")
async def create_backend_resource(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    body = await request.json()
    missing = {k: ["This field is required."] for k in ("name", "project", "offering") if not body.get(k)}
    if missing:
        return JSONResponse(missing, 400)
    row = {"uuid": uuids.uuid4().hex, "offering_uuid": body["offering"].replace("-", ""), **body}
    WORLD.setdefault("backend_resources", []).append(row)
    return JSONResponse(made("backend_resource", row), 201)


# ---------------------------------------------------------------------- usage


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


@app.get("/api/marketplace-component-usages/")
async def usages(request: Request) -> Response:
    rows = [usage_row(u) for u in WORLD.get("usages", [])]
    return page(filtered(rows, request, ("offering_uuid", "resource_uuid", "billing_period", "type")), request)


@app.get("/api/marketplace-component-user-usages/")
async def user_usages(request: Request) -> Response:
    keys = ("offering_uuid", "resource_uuid")  # older servers know no filter by month
    rows = user_usage_rows()
    return page(filtered(rows, request, keys if old_server() else (*keys, "component_usage__billing_period")), request)


@app.get("/api/marketplace-provider-resources/{uuid}/plan_periods/")
async def plan_periods(uuid: str) -> Response:
    """One open plan; rows of another plan belong to one that ended."""
    mine = [u for u in WORLD.get("usages", []) if u["resource_uuid"] == uuid.replace("-", "")]
    components = [usage_row(u) for u in mine if u.get("plan", "") == open_plan(uuid)]
    about = {"uuid": uuids.uuid5(uuids.NAMESPACE_OID, uuid).hex, "start": "2026-01-01T00:00:00Z", "end": None}
    return JSONResponse([{**TEMPLATES["plan_period"], **about, "components": components}])


def open_plan(resource: str) -> str:
    owner = find("resources", resource) or {}
    return str(owner.get("plan_period", ""))


@app.post("/api/marketplace-component-usages/set_usage/")
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


@app.post("/api/marketplace-component-usages/{uuid}/{action}/")
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


@app.api_route("/{rest:path}", methods=["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"])
async def unknown(rest: str) -> Response:
    return HTMLResponse(HTML_404, 404)


def serve(port_file: str) -> None:
    """Serve on a free loopback port and write its number to ``port_file``."""
    # with the protocol named, asyncio turns Nagle's delay off; without it each answer waits 40 ms for an ACK
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    partial = Path(port_file + ".part")
    partial.write_text(str(listener.getsockname()[1]))
    partial.rename(port_file)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    serve(sys.argv[1])
