"""A stand-in for Waldur's REST API: real HTTP, recorded shapes, the real server's habits.

Run as its own process: ``python -m tests.standin.server PORT_FILE``. What it serves is set over HTTP below
``/control``; everything below ``/api`` behaves like the recorded server: paging with X-Result-Count and Link,
``page_size`` cut to 300 silently, unknown filters ignored, wrong filter values 400, ``field=`` selection,
order states with 409, HTML error pages.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from tests.standin import habits, offerings, orders, reading, usage
from tests.standin.habits import HTML_404

app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
app.middleware("http")(habits.habits)
for part in (habits, reading, orders, offerings, usage):
    app.include_router(part.router)


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
