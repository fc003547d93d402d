"""A stand-in for Waldur's REST API: real HTTP, recorded shapes, the real server's habits.

Run as its own process: ``python -m tests.standin.server PORT_FILE``. What it serves is set over HTTP below
``/control``; everything below ``/api`` behaves like the recorded server: paging with X-Result-Count and Link,
``page_size`` cut to 300 silently, unknown filters ignored, wrong filter values 400, ``field=`` selection,
order states with 409, HTML error pages.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

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
}

app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
WORLD: dict[str, Any] = {}
FAULTS: list[dict[str, Any]] = []
LOG: list[dict[str, Any]] = []


@app.put("/control/world")
async def set_world(request: Request) -> dict[str, bool]:
    WORLD.clear()
    WORLD.update(await request.json())
    return {"ok": True}


@app.get("/control/world")
async def get_world() -> Any:
    return WORLD


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


@app.middleware("http")
async def habits(request: Request, call_next: Callable[[Request], Any]) -> Response:
    path = request.url.path
    if path.startswith("/control"):
        return cast(Response, await call_next(request))
    LOG.append({"method": request.method, "path": path, "query": request.url.query})
    for fault in FAULTS:
        if fault.get("times", 1) > 0 and re.search(fault["path"], f"{path}?{request.url.query}"):
            fault["times"] = fault.get("times", 1) - 1
            if fault.get("sleep"):
                time.sleep(fault["sleep"])
            if fault.get("change"):  # the world moves between two pages
                for key, value in fault["change"].items():
                    WORLD[key] = value
                break
            return Response(fault.get("body", ""), fault["status"], headers=fault.get("headers"))
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
    row.setdefault("last_sync", "2026-11-20T21:09:35Z")
    if old_server():
        for key in SLUGS:
            row.pop(key, None)
    return row


# ---------------------------------------------------------------------- reading


@app.get("/api/users/me/")
async def me(request: Request) -> Response:
    return JSONResponse(selected(TEMPLATES["me"], request))


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
    "set_state_erred": ("executing", "pending-provider"),
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
    owner = find("resources", found["marketplace_resource_uuid"])
    if owner is not None:
        _move(owner, found, action)
    return Response(status_code=200)


def _move(resource: dict[str, Any], order: dict[str, Any], action: str) -> None:
    kind = order["type"]
    if action in ("approve_by_provider", "set_state_executing"):
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


@app.api_route("/{rest:path}", methods=["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"])
async def unknown(rest: str) -> Response:
    return HTMLResponse(HTML_404, 404)


def serve(port_file: str) -> None:
    """Serve on a free loopback port and write its number to ``port_file``."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    partial = Path(port_file + ".part")
    partial.write_text(str(listener.getsockname()[1]))
    partial.rename(port_file)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    serve(sys.argv[1])
