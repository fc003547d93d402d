"""What the stand-in serves, how a test says so, and the API's habits: paging, filters, faults, permissions."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from tests.standin.recorded import TEMPLATES

router = APIRouter()
CAP = 300
SLUGS = ("project_slug", "customer_slug")
HTML_404 = "<!doctype html><html><head><title>Not Found</title></head><body><h1>Not Found</h1></body></html>"
HTML_500 = (
    "<!doctype html><html><head><title>Server Error (500)</title></head><body><h1>Server Error</h1></body></html>"
)
WORLD: dict[str, Any] = {}
FAULTS: list[dict[str, Any]] = []
LOG: list[dict[str, Any]] = []
WRITES = [0]


@router.put("/control/world")
async def set_world(request: Request) -> dict[str, bool]:
    WORLD.clear()
    WORLD.update(await request.json())
    return {"ok": True}


@router.get("/control/world")
async def get_world() -> Any:
    return WORLD


@router.get("/control/writes")
async def get_writes() -> int:
    return WRITES[0]


@router.put("/control/faults")
async def set_faults(request: Request) -> dict[str, bool]:
    FAULTS[:] = await request.json()
    return {"ok": True}


@router.get("/control/log")
async def get_log() -> Any:
    return LOG


@router.delete("/control/log")
async def clear_log() -> dict[str, bool]:
    LOG.clear()
    return {"ok": True}


# ---------------------------------------------------------------------- the API's habits


async def _dripping(pause: float) -> AsyncIterator[bytes]:
    yield b"["
    while True:
        await asyncio.sleep(pause)
        yield b" "


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


# ---------------------------------------------------------------------- writing: states of orders and resources


def find(kind: str, uuid: str) -> dict[str, Any] | None:
    return next((o for o in WORLD.get(kind, []) if o["uuid"] == uuid.replace("-", "")), None)
