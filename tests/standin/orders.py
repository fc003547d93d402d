"""States of orders and resources, as a provider moves them."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tests.standin.habits import HTML_404, HTML_500, denied, find, now, old_server, resource_row, role

router = APIRouter()
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


@router.post("/api/marketplace-orders/{uuid}/{action}/")
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


@router.post("/api/marketplace-provider-resources/{uuid}/set_backend_id/")
async def set_backend_id(uuid: str, request: Request) -> Response:
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    body = await request.json()
    if not isinstance(body.get("backend_id"), str):
        return JSONResponse({"backend_id": ["This field is required."]}, 400)
    found["backend_id"] = body["backend_id"]
    return JSONResponse({"status": "Resource backend_id has been changed."})


@router.patch("/api/marketplace-provider-resources/{uuid}/")
async def patch_resource(uuid: str) -> Response:
    found = find("resources", uuid)
    # 200, and flags do not change: that is what the real one does
    return JSONResponse(resource_row(found)) if found else JSONResponse({"detail": "Not found."}, 404)


@router.post("/api/marketplace-provider-resources/{uuid}/{action}/")
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
