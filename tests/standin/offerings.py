"""Offering users, components and resources of an offering, as a provider writes them."""

from __future__ import annotations

import copy
import uuid as uuids
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tests.standin.habits import HTML_404, HTML_500, WORLD, find, made, old_server
from tests.standin.recorded import TEMPLATES

router = APIRouter()


@router.patch("/api/marketplace-offering-users/{uuid}/")
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


@router.post("/api/marketplace-offering-users/{uuid}/{action}/")
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


@router.post("/api/marketplace-provider-offerings/{uuid}/{action}/")
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


@router.post("/api/backend-resources/")
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
