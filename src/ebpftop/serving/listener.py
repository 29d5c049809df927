"""The HTTP server: one thread that hands out the last reading, and never waits for a client or for the kernel.

It is no general server. A request is a GET or HEAD without a body, at most 8 KiB; a connection is closed after one, and
after ten seconds in any case. If there are too many connections, the oldest one is closed, so that silent clients keep
nobody out.
"""

from __future__ import annotations

import errno
import gzip
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from ebpftop.core.source import SourceError, UsageError
from ebpftop.serving.address import Address
from ebpftop.serving.prometheus import CONTENT_TYPE

REQUEST_BYTES = 8 << 10
CONNECTIONS_MAX = 64
PATIENCE_S = 10.0
_NO_FILE_S = 0.05
_STATUS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_PAGE = b"ebpftop serve: /metrics has the metrics, /healthz whether they are read.\n"
_TEXT = "text/plain; charset=utf-8"


def listen(address: Address) -> socket.socket:
    """Return a socket that listens; raises UsageError for an unknown address, SourceError if it cannot be used."""
    try:
        found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--listen {address}: {getattr(error, 'strerror', None) or 'no such address'}") from error
    family, kind, protocol, _, place = found[0]
    server = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(place)
        server.listen(CONNECTIONS_MAX)
    except OSError as error:
        server.close()
        raise SourceError(f"cannot listen at {address}: {error.strerror}", _remedy(error)) from error
    return server


def _remedy(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "name another one: --listen ADDR:PORT"
    return "name an address of this machine: --listen ADDR:PORT" if error.errno == errno.EADDRNOTAVAIL else ""


class Health(NamedTuple):
    """Whether the readings are up to date, and a sentence about it."""

    well: bool
    text: str


class _Client:
    """A connection: what was received of its request, then what is left of the answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.since_s = time.monotonic()
        self.request = b""
        self.answer: list[memoryview] = []


class Listener:
    """Serves `/metrics` and `/healthz` until it is closed.

    *text* returns the metrics, *health* how the readings are; both are called in the thread of the listener, and must
    not wait.
    """

    def __init__(self, server: socket.socket, text: Callable[[], bytes], health: Callable[[], Health]) -> None:
        self._server = server
        self._text = text
        self._health = health
        self._clients: dict[socket.socket, _Client] = {}
        self._packed: tuple[bytes, bytes] = b"", b""
        """The text that was compressed last, and what came of it."""
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.getsockname()[1])

    def start(self) -> None:
        """Begin to serve."""
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        with suppress(OSError):
            os.write(self._wake_w, b"x")
        if self._thread.is_alive():
            self._thread.join()
        if self._wake_w >= 0:
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            self._server.close()
            os.close(self._wake_r)
            os.close(self._wake_w)
            self._wake_r = self._wake_w = -1

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj == self._wake_r:
                    return
                if key.fileobj is self._server:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and (client := self._clients.get(key.fileobj)):
                    self._go_on(client)
            now_s = time.monotonic()
            for client in [one for one in self._clients.values() if now_s - one.since_s >= PATIENCE_S]:
                self._drop(client)

    def _patience_s(self) -> float | None:
        oldest = next(iter(self._clients.values()), None)  # they are in the order in which they came
        return None if oldest is None else max(0.0, oldest.since_s + PATIENCE_S - time.monotonic())

    def _accept(self) -> None:
        try:
            connection, _ = self._server.accept()
        except BlockingIOError:
            return
        except OSError:  # the client is gone, or there are no files left: then it would be tried again at once
            if oldest := next(iter(self._clients.values()), None):
                self._drop(oldest)
            time.sleep(_NO_FILE_S)
            return
        if len(self._clients) >= CONNECTIONS_MAX:
            self._drop(next(iter(self._clients.values())))
        connection.setblocking(False)
        self._clients[connection] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.connection]
        self._selector.unregister(client.connection)
        client.connection.close()

    def _go_on(self, client: _Client) -> None:
        """Read more of the request, or write more of the answer; close the connection when that is done."""
        try:
            if not client.answer:
                received = client.connection.recv(REQUEST_BYTES)
                client.request += received
                if not received:
                    self._drop(client)
                    return
                if b"\r\n\r\n" not in client.request and b"\n\n" not in client.request:
                    if len(client.request) <= REQUEST_BYTES:
                        return
                    client.answer = _answer(400, _TEXT, b"the request is too long\n")
                else:
                    client.answer = self._answer_to(client.request)
                self._selector.modify(client.connection, selectors.EVENT_WRITE)
            while client.answer:
                sent = client.connection.send(client.answer[0])
                client.answer[0] = client.answer[0][sent:]
                if not client.answer[0]:
                    del client.answer[0]
        except BlockingIOError:
            return
        except OSError:  # the client is gone
            client.answer = []
        self._drop(client)

    def _answer_to(self, request: bytes) -> list[memoryview]:
        first, *headers = request.partition(b"\r\n\r\n")[0].splitlines()[:100] or [b""]
        words = first.split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/"):
            return _answer(400, _TEXT, b"this is not HTTP\n")
        if words[0] not in (b"GET", b"HEAD"):
            return _answer(405, _TEXT, b"only GET and HEAD\n", "Allow: GET, HEAD")
        has_body = words[0] == b"GET"
        match words[1].partition(b"?")[0]:
            case b"/metrics":
                text = self._text()
                if _accepts_gzip(headers):
                    packed = self._compressed(text)
                    return _answer(200, CONTENT_TYPE, packed, "Content-Encoding: gzip", has_body=has_body)
                return _answer(200, CONTENT_TYPE, text, has_body=has_body)
            case b"/healthz":
                health = self._health()
                return _answer(200 if health.well else 503, _TEXT, f"{health.text}\n".encode(), has_body=has_body)
            case b"/":
                return _answer(200, _TEXT, _PAGE, has_body=has_body)
            case _:
                return _answer(404, _TEXT, _PAGE, has_body=has_body)

    def _compressed(self, text: bytes) -> bytes:
        if self._packed[0] is not text:
            self._packed = text, gzip.compress(text, 1)
        return self._packed[1]


def _accepts_gzip(headers: list[bytes]) -> bool:
    for header in headers:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"accept-encoding":
            return any(
                one.partition(b";")[0].strip().lower() == b"gzip" and one.partition(b";")[2].strip() != b"q=0"
                for one in value.split(b",")
            )
    return False


def _answer(status: int, kind: str, body: bytes, *more: str, has_body: bool = True) -> list[memoryview]:
    """Return an answer: its head and its body, which is not copied."""
    lines = (
        f"HTTP/1.1 {status} {_STATUS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *("Connection: close", "X-Content-Type-Options: nosniff", *more),
    )
    head = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    return [memoryview(head), memoryview(body)] if has_body and body else [memoryview(head)]
