"""The smallest SOCKS5 and HTTP proxies that are of use: real sockets, and they remember what they were asked."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit


class Proxy:
    """A proxy on a free loopback port. ``asked``: hosts as the client named them, with how."""

    def __init__(self, kind: str) -> None:
        self.asked: list[tuple[str, str]] = []
        self._connect = {"socks5": self._socks5, "http": self._http}[kind]
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(16)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._connect(client) as server:
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            _pump(client, server)

    def _socks5(self, client: socket.socket) -> socket.socket:
        _, methods = struct.unpack("BB", _exactly(client, 2))
        _exactly(client, methods)
        client.sendall(b"\x05\x00")
        kind = _exactly(client, 4)[3]
        if kind == 1:
            how, host = "address", socket.inet_ntoa(_exactly(client, 4))
        else:
            how, host = "name", _exactly(client, _exactly(client, 1)[0]).decode()
        (port,) = struct.unpack("!H", _exactly(client, 2))
        self.asked.append((how, f"{host}:{port}"))
        server = socket.create_connection(("127.0.0.1", port), 10)
        client.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return server

    def _http(self, client: socket.socket) -> socket.socket:
        method, target, rest = _request(client).split(b" ", 2)
        where = urlsplit(target.decode())
        self.asked.append((method.decode(), where.netloc))
        server = socket.create_connection(("127.0.0.1", where.port or 80), 10)
        path = target.decode().split(where.netloc, 1)[1].encode()
        server.sendall(b" ".join([method, path, rest.replace(b"keep-alive", b"close")]))
        client.sendall(_closing(server))
        return server


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = stream.recv(count - len(found))
        if not piece:
            raise OSError("closed")
        found += piece
    return found


def _request(stream: socket.socket) -> bytes:
    """Headers and the body they announce, which may come later."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += _exactly(stream, 1)
    length = re.search(rb"(?i)content-length: *(\d+)", found)
    return found + _exactly(stream, int(length[1]) if length else 0)


def _closing(server: socket.socket) -> bytes:
    """The beginning of an answer, which tells that the connection will be closed after it."""
    status, _, answer = server.recv(65536).partition(b"\r\n")
    return status + b"\r\nConnection: close\r\n" + answer


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tls_before(port: int, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS with this certificate (and its key), before one that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as safe:
                server = socket.create_connection(("127.0.0.1", port), 10)
                server.sendall(_request(safe).replace(b"keep-alive", b"close"))
                safe.sendall(_closing(server))
                while piece := server.recv(65536):
                    safe.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


@contextlib.contextmanager
def proxy(kind: str) -> Iterator[Proxy]:
    """A proxy for the length of a test."""
    one = Proxy(kind)
    try:
        yield one
    finally:
        one.close()
