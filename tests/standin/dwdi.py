"""A stand-in for DWDI and its token server: real HTTP, tokens that expire by a clock the test moves, faults.

Run as its own process: ``python -m tests.standin.dwdi PORT_FILE``. What it serves is set over HTTP below
``/control``. DWDI has no public description; what is known of it is served, unknown parameters are ignored.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standin import dwdi_rows

PREFIX = "/api/v1/"
DEFAULTS: dict[str, Any] = {
    "client_id": "site",
    "client_secret": "s3cret-of-the-site",
    "scopes": ["openid", "cscs-dwdi:read"],
    "needed_scope": "",
    "expires_in": 300,
    "token_extra": {},
    "flavour": "current",
    "empty_accounts": False,
    "split_users": False,
    "ignores_clusters": False,
    "figures": ["nodeHours"],
    "spelling": "",
}
Answer = tuple[int, str, bytes, dict[str, str]]


@dataclass
class State:
    """All that the server knows."""

    settings: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)  # when it expires, and its scope
    issued: int = 0
    clock: float = 0.0


STATE = State()


def control(method: str, name: str, body: bytes) -> Any:
    if method == "GET":
        return {"log": STATE.log, "issued": STATE.issued, "tokens": list(STATE.tokens)}[name]
    value = json.loads(body or b"null")
    if name == "world":
        STATE.settings = {**DEFAULTS, **value["settings"]}
        STATE.rows = value["rows"]
    elif name == "faults":
        STATE.faults = value
    elif name == "clock":
        STATE.clock += value
    elif name == "forget":
        STATE.log, STATE.tokens, STATE.issued, STATE.clock = [], {}, 0, 0.0
    return True


def as_json(status: int, answer: Any) -> Answer:
    return status, "application/json", dwdi_rows.text(answer).encode(), {}


def token(headers: Any, body: bytes) -> Answer:
    """A Keycloak's answers."""
    form = {k: v[0] for k, v in parse_qs(body.decode()).items()}
    who, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, rest = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        who, _, secret = base64.b64decode(rest).decode().partition(":")
    if form.get("grant_type") != "client_credentials":
        return as_json(400, {"error": "unsupported_grant_type", "error_description": "Unsupported grant_type"})
    if (who, secret) != (STATE.settings["client_id"], STATE.settings["client_secret"]):
        return as_json(401, {"error": "unauthorized_client", "error_description": f"Invalid secret {secret}"})
    scope = form.get("scope", "openid")
    if scope not in STATE.settings["scopes"]:
        return as_json(400, {"error": "invalid_scope", "error_description": f"Invalid scopes: {scope}"})
    STATE.issued += 1
    text = secrets.token_urlsafe(24)
    lifetime = STATE.settings["expires_in"]
    STATE.tokens[text] = (STATE.clock + (300 if lifetime is None else float(lifetime)), scope)
    answer = {
        "access_token": text,
        "expires_in": lifetime,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": scope,
        **STATE.settings["token_extra"],
    }
    return as_json(200, {k: v for k, v in answer.items() if v is not None})


def refusal(headers: Any) -> Answer | None:
    scheme, _, text = headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or STATE.clock >= STATE.tokens.get(text, (-1.0, ""))[0]:
        return as_json(401, {"detail": f"Could not validate credentials {text}"})
    needed = STATE.settings["needed_scope"]
    if needed and needed != STATE.tokens[text][1]:
        return as_json(403, {"detail": f"Not enough permissions: {text}"})
    return None


def _compute(daily: bool) -> Callable[[dwdi_rows.Parameters], Any]:
    return lambda p: dwdi_rows.compute(STATE.rows["compute"], p, STATE.settings, daily=daily)


def _storage(daily: bool) -> Callable[[dwdi_rows.Parameters], Any]:
    return lambda p: dwdi_rows.storage(STATE.rows["storage"], p, daily=daily)


ENDPOINTS: dict[str, dict[str, Callable[[dwdi_rows.Parameters], Any]]] = {
    "current": {
        "compute/usage-month/account": _compute(False),
        "compute/usage-day/account": _compute(True),
        "compute/usage-day": _compute(True),
        "storage/usage-month": _storage(False),
        "storage/usage-day": _storage(True),
        "inference/resource/cost": lambda p: dwdi_rows.inference(STATE.rows["inference"], p),
    },
    "legacy": {
        "compute/usage-month-multiaccount": _compute(False),
        "compute/usage-day-multiaccount": _compute(True),
        "storage/usage-month/filesystem_name/data_type": _storage(False),
        "storage/usage-day/filesystem_name/data_type": _storage(True),
    },
}


def api(path: str, query: str, headers: Any) -> Answer:
    endpoint = ENDPOINTS[STATE.settings["flavour"]].get(path.removeprefix(PREFIX))
    if endpoint is None or not path.startswith(PREFIX):
        return as_json(404, {"detail": "Not Found"})
    if refused := refusal(headers):
        return refused
    try:
        return as_json(200, endpoint(parse_qs(query)))
    except dwdi_rows.Refused as error:
        return as_json(422, {"detail": str(error)})


def fault(target: str) -> dict[str, Any]:
    """The first fault that is due for this address; ``skip`` lets some pass, ``times`` ends it."""
    for one in STATE.faults:
        if one.get("times", 1) > 0 and re.search(one["path"], target):
            if one.get("skip", 0) > 0:
                one["skip"] -= 1
                continue
            one["times"] = one.get("times", 1) - 1
            return one
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_PUT(self) -> None:
        self.do_POST()

    def _serve(self, body: bytes) -> None:
        where = urlsplit(self.path)
        if where.path.startswith("/control/"):
            return self._answer(as_json(200, control(self.command, where.path.removeprefix("/control/"), body)), {})
        bearer = self.headers.get("Authorization", "").startswith("Bearer ")
        entry = {"method": self.command, "path": where.path, "query": where.query, "token": bearer}
        STATE.log.append({**entry, "length": len(self.path)})
        broken = fault(self.path)
        if broken.get("revoke"):
            STATE.tokens.clear()
        if where.path.startswith("/realms/"):
            answer = token(self.headers, body)
        else:
            answer = api(where.path, where.query, self.headers)
        return self._answer(answer, broken)

    def _answer(self, answer: Answer, broken: dict[str, Any]) -> None:
        status, kind, body, headers = answer
        time.sleep(broken.get("slow_header", 0))
        if broken.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if "status" in broken:
            status, body = broken["status"], b""
        if "body" in broken:
            shown = json.dumps(dict(self.headers))  # what an unlucky server shows of a request
            body, kind = broken["body"].replace("<<HEADERS>>", shown).encode(), broken.get("type", "application/json")
        for old, new in broken.get("replace", []):
            assert re.search(old.encode(), body), f"the fault {old!r} does not fit {body!r}"
            body = re.sub(old.encode(), new.encode(), body)
        if "cut" in broken:
            body = body[: broken["cut"]]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + broken.get("announce_more", 0)))
        for name, value in {**headers, **broken.get("headers", {})}.items():
            self.send_header(name, value)
        self.end_headers()
        half = len(body) // 2 if broken.get("slow_body") else len(body)
        self.wfile.write(body[:half])
        self.wfile.flush()
        time.sleep(broken.get("slow_body", 0))
        self.wfile.write(body[half:])
        self.wfile.flush()
        if broken.get("announce_more"):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the log is the test's."""

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError):  # a client that went away, or a reset of our own
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


def serve(port_file: str) -> None:
    """Serve on a free loopback port and write its number to ``port_file``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    partial = Path(port_file + ".part")
    partial.write_text(str(server.server_port))
    partial.rename(port_file)
    server.serve_forever(poll_interval=5)


if __name__ == "__main__":
    serve(sys.argv[1])
