"""A collector of OTLP/HTTP for tests: it keeps what it was sent, and answers as it is told."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOGS, METRICS = "/v1/logs", "/v1/metrics"


@dataclass
class Request:
    """One request; `body` is what was sent, without its compression; bytes if it is not JSON."""

    path: str
    headers: Mapping[str, str]
    body: Any
    size: int
    """Bytes of it, as they came."""
    time_s: float
    """On the monotonic clock."""

    def log_records(self) -> list[dict[str, Any]]:
        """Return the log records in it."""
        return [
            record
            for resource in self.body.get("resourceLogs", ())
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def metrics(self) -> dict[str, Any]:
        """Return its metrics by their names."""
        return {
            metric["name"]: metric
            for resource in self.body.get("resourceMetrics", ())
            for scope in resource["scopeMetrics"]
            for metric in scope["metrics"]
        }


@dataclass
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b"{}"
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return attributes as Python's own values."""
    return {one["key"]: _plain(one["value"]) for one in attributes}


def _plain(value: dict[str, Any]) -> Any:
    ((kind, held),) = value.items()
    match kind:
        case "intValue":
            assert isinstance(held, str)
            return int(held)
        case "arrayValue":
            return [_plain(one) for one in held["values"]]
        case _:
            return held


class Collector:
    """Listens on loopback from the start. *reply* is what it answers to a request of a path."""

    def __init__(self, reply: Callable[[Request], Reply] = lambda _: Reply(), port: int = 0) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        self.port = port
        self._open: set[socket.socket] = set()
        self.server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        """What `--otlp` is given."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen again, at the same port."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer._open.add(self.connection)

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                pass  # the connection was cut, by the test or by what is tested

        until_s = time.monotonic() + 60
        while self.server is None:
            try:
                self.server = Server(("127.0.0.1", self.port), Handler)
            except OSError:  # a connection of somebody else has the port for a moment
                assert time.monotonic() < until_s
                time.sleep(0.1)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        sent = handler.rfile.read(int(handler.headers["Content-Length"]))
        raw = gzip.decompress(sent) if handler.headers.get("Content-Encoding") == "gzip" else sent
        body = json.loads(raw) if handler.headers.get("Content-Type") == "application/json" else raw
        request = Request(handler.path, dict(handler.headers), body, len(sent), time.monotonic())
        self.requests.append(request)
        reply = self.reply(request)
        handler.send_response(reply.status)
        for name, value in (("Content-Type", reply.kind), ("Content-Length", str(len(reply.body))), *reply.headers):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)

    def stop(self) -> None:
        """Stop listening, and cut every connection, as if it was killed."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def of(self, path: str) -> list[Request]:
        """Return the requests of one path."""
        return [request for request in self.requests if request.path == path]

    def log_records(self) -> list[dict[str, Any]]:
        """Return all log records that came, in their order."""
        return [record for request in self.of(LOGS) for record in request.log_records()]

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_until(is_so: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait until *is_so* returns something true; fails after a long time."""
    until_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.02)


def answers_once(text: bytes | Callable[[socket.socket], None]) -> Iterator[int]:
    """Have a server of raw bytes listen: to each connection it sends *text*, or calls it. Yields its port."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    ends = threading.Event()
    kept: list[socket.socket] = []

    def serve() -> None:
        while not ends.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                continue
            kept.append(connection)
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            if callable(text):
                text(connection)
            else:
                connection.recv(65536)
                connection.sendall(text)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        ends.set()
        thread.join()
        server.close()
        for connection in kept:
            with suppress(OSError):
                connection.close()
