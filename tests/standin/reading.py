"""Lists and objects that the stand-in shows."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from tests.standin.habits import (
    HTML_404,
    WORLD,
    bad_choice,
    bad_uuid,
    denied,
    filtered,
    find,
    made,
    old_server,
    page,
    resource_row,
    role,
    selected,
)
from tests.standin.recorded import TEMPLATES

router = APIRouter()
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


# ---------------------------------------------------------------------- reading


@router.get("/api/users/me/")
async def me(request: Request) -> Response:
    about = {**TEMPLATES["me"], "is_staff": bool(WORLD.get("staff"))}
    return JSONResponse(selected(about, request))


@router.get("/api/marketplace-provider-offerings/{uuid}/")
async def offering(uuid: str, request: Request) -> Response:
    if uuid.replace("-", "") != WORLD["offering"]["uuid"]:
        return JSONResponse({"detail": "No Offering matches the given query."}, 404)
    return JSONResponse(selected(made("offering", WORLD["offering"]), request))


@router.get("/api/marketplace-provider-resources/")
async def resources(request: Request) -> Response:
    wrong = bad_choice(request, "state", RESOURCE_STATES) or bad_uuid(request, "offering_uuid")
    if wrong:
        return wrong
    rows = [resource_row(r) for r in WORLD.get("resources", [])] if role() != "member" else []
    return page(filtered(rows, request, ("offering_uuid", "state", "backend_id", "project_uuid", "slug")), request)


@router.get("/api/marketplace-provider-resources/{uuid}/")
async def resource(uuid: str, request: Request) -> Response:
    found = find("resources", uuid)
    if found is None:
        return JSONResponse({"detail": "No Resource matches the given query."}, 404)
    return JSONResponse(selected(resource_row(found), request))


@router.get("/api/marketplace-provider-resources/{uuid}/team/")
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


@router.get("/api/marketplace-orders/")
async def orders(request: Request) -> Response:
    wrong = bad_choice(request, "state", ORDER_STATES) or bad_uuid(request, "offering_uuid")
    if wrong:
        return wrong
    rows = [made("order", {"offering_uuid": WORLD["offering"]["uuid"], **o}) for o in WORLD.get("orders", [])]
    return page(filtered(rows, request, ("offering_uuid", "state", "type", "resource_uuid")), request)


@router.get("/api/marketplace-orders/{uuid}/")
async def order(uuid: str, request: Request) -> Response:
    found = find("orders", uuid)
    if found is None:
        return JSONResponse({"detail": "No Order matches the given query."}, 404)
    return JSONResponse(selected(made("order", found), request))


@router.get("/api/marketplace-offering-users/")
async def offering_users(request: Request) -> Response:
    if wrong := bad_uuid(request, "offering_uuid"):
        return wrong
    about = {"offering_uuid": WORLD["offering"]["uuid"]}
    rows = [made("offering_user", {**about, **u}) for u in WORLD.get("offering_users", [])]
    return page(filtered(rows, request, ("offering_uuid", "user_uuid", "username")), request)


@router.get("/api/marketplace-offering-users/{uuid}/")
async def offering_user(uuid: str, request: Request) -> Response:
    found = find("offering_users", uuid)
    if found is None:
        return JSONResponse({"detail": "No OfferingUser matches the given query."}, 404)
    return JSONResponse(selected(made("offering_user", found), request))


@router.get("/api/component-user-usage-limits/")
async def user_limits(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    rows = [made("user_limit", r) for r in WORLD.get("user_limits", [])]
    return page(rows, request)


@router.get("/api/marketplace-project-service-accounts/")
async def service_accounts(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    return page([made("service_account", r) for r in WORLD.get("service_accounts", [])], request)


@router.get("/api/marketplace-course-accounts/")
async def course_accounts(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    return page([made("course_account", r) for r in WORLD.get("course_accounts", [])], request)


@router.get("/api/backend-resources/")
async def backend_resources(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    rows = [made("backend_resource", r) for r in WORLD.get("backend_resources", [])]
    return page(filtered(rows, request, ("offering_uuid", "backend_id")), request)


@router.get("/api/marketplace-service-providers/")
async def providers(request: Request) -> Response:
    row = made("provider", {"uuid": "0" * 31 + "1", "customer_uuid": WORLD["offering"]["customer_uuid"]})
    return page(filtered([row], request, ("customer_uuid",)), request)


@router.get("/api/marketplace-service-providers/{uuid}/project_permissions/")
async def permissions(uuid: str, request: Request) -> Response:
    if role() != "owner":
        return denied()
    return page([made("permission", p) for p in WORLD.get("permissions", [])], request)


@router.get("/api/marketplace-service-providers/{uuid}/projects/")
async def projects(uuid: str, request: Request) -> Response:
    if role() != "owner":
        return denied()
    return page([made("project", p) for p in WORLD.get("projects", [])], request)


@router.get("/api/marketplace-slurm-periodic-usage-policies/")
async def policies(request: Request) -> Response:
    if old_server():
        return HTMLResponse(HTML_404, 404)
    if WORLD.get("policies_denied"):
        return denied()
    rows = [made("policy", {"scope_uuid": WORLD["offering"]["uuid"], **p}) for p in WORLD.get("policies", [])]
    return page(filtered(rows, request, ("scope_uuid",)), request)


@router.post("/api/marketplace-slurm-periodic-usage-policies/{uuid}/report-command-result/")
async def report_command_result(uuid: str, request: Request) -> Response:
    """Staff alone may, as the server's source has it."""
    if old_server():
        return HTMLResponse(HTML_404, 404)
    if not WORLD.get("staff"):
        return denied()
    WORLD.setdefault("reports", []).append({"policy": uuid, **await request.json()})
    return JSONResponse({"detail": "Command result recorded."})


@router.get("/api/marketplace-slurm-periodic-usage-policies/{uuid}/command-history/")
async def command_history(uuid: str) -> Response:
    """What Waldur told agents, as recorded; an answer without X-Result-Count."""
    if old_server():
        return HTMLResponse(HTML_404, 404)
    return JSONResponse([r for r in WORLD.get("command_history", []) if r.get("policy", uuid) == uuid])
