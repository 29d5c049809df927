"""One connection to a collector, that is kept between requests. No request takes longer than its endpoint allows."""

from __future__ import annotations

import http.client
import io
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ebpftop import __version__
from ebpftop.core.source import SourceError
from ebpftop.serving.otlp.answers import Answer

if TYPE_CHECKING:
    from ssl import SSLContext

    from ebpftop.serving.otlp.settings import Certificates, Endpoint

BODY_BYTES = 64 << 10
"""What is read of the body of an answer; of a longer one the rest is not."""
ANSWER_BYTES = 1 << 20
"""The most that an answer may have, its headers and what is around the body included."""
_GRPC_PORT = 4317
_AGENT = f"ebpftop/{__version__}"


class Unreachable(Exception):
    """There was no answer: it says why."""


def tls_context(files: Certificates) -> SSLContext:
    """Return how certificates are checked: as OpenSSL is set up here, or by the files named; raises SourceError."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=files.trusted or None)
        if files.own:
            context.load_cert_chain(files.own, files.key or None, _no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(filter(None, files))
        raise SourceError(
            f"the certificates for https cannot be read: {getattr(error, 'strerror', None) or error}",
            f"see OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE and _CLIENT_KEY ({named})" if named else "",
        ) from error
    return context


def _no_password() -> str:
    """OpenSSL would ask for it at the terminal, and a service has none."""
    raise ValueError("the key is encrypted, and there is no password for it")


class _TooLong(http.client.HTTPException):
    """An answer had more than `ANSWER_BYTES`."""


class _Received(io.RawIOBase):
    """What a socket receives, until a moment: a timeout of the socket alone begins anew with each byte.

    It is bounded, since http.client reads without bound what calls itself a chunk of -1 bytes.
    """

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        self._socket = connection
        self._until_s = until_s
        self._left = ANSWER_BYTES
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise _TooLong
        self._socket.settimeout(left_s)
        count = self._socket.recv_into(buffer)  # type: ignore[arg-type]  # a buffer
        self._left -= count
        self.has_ended = count == 0
        return count


class _Response(http.client.HTTPResponse):
    """An answer that is read until a moment."""

    def __init__(self, connection: socket.socket, until_s: float) -> None:
        super().__init__(connection, method="POST")
        self.fp.close()
        self._received = _Received(connection, until_s)
        self.fp = io.BufferedReader(self._received)

    def begin(self) -> None:
        """Read the status and the headers; http.client takes the end of the connection for the end of these."""
        super().begin()
        if self._received.has_ended:
            raise http.client.RemoteDisconnected("")

    def read(self, amt: int | None = None) -> bytes:
        """Read the body; http.client returns one that was cut without a word."""
        body = super().read(amt)
        if self.length and (amt is None or len(body) < amt):
            raise http.client.RemoteDisconnected("")
        return body


class Connection:
    """To one endpoint; only one thread uses it."""

    def __init__(self, endpoint: Endpoint, tls: SSLContext | None) -> None:
        self._endpoint = endpoint
        self._tls = tls if endpoint.https else None
        self._socket: socket.socket | None = None
        self._head = _head(endpoint)

    def post(self, body: bytes, until_s: float) -> Answer:
        """Send *body*, and return the answer that came before *until_s* (monotonic); raises Unreachable.

        A connection that was kept may have been closed meanwhile: then there is a second one, once.
        """
        until_s = min(until_s, time.monotonic() + self._endpoint.timeout_s)
        kept = self._socket is not None
        try:
            return self._post(body, until_s)
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            self.close()
            if not kept:
                raise Unreachable(self._reason(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(self._reason(error)) from error
        try:
            return self._post(body, until_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(self._reason(error)) from error

    def _post(self, body: bytes, until_s: float) -> Answer:
        if self._socket is None:
            self._socket = self._connect(until_s)
        elif _has_more(self._socket):
            # It was closed meanwhile, maybe with a `408 Request Timeout` first: that is no answer to this request.
            self.close()
            self._socket = self._connect(until_s)
        self._socket.settimeout(max(0.001, until_s - time.monotonic()))
        # Together: an answer may come, and the connection be closed, before the last byte of a body that is too long.
        with suppress(BrokenPipeError):
            self._socket.sendall(b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body))
        response = _Response(self._socket, until_s)
        response.begin()
        received = response.read(BODY_BYTES)
        answer = Answer(
            response.status,
            response.getheader("Content-Type", "").partition(";")[0].strip().lower(),
            response.getheader("Retry-After", ""),
            received,
        )
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _connect(self, until_s: float) -> socket.socket:
        endpoint = self._endpoint
        connection = socket.create_connection(
            (endpoint.host, endpoint.port), timeout=max(0.001, until_s - time.monotonic())
        )
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                return connection
            connection.settimeout(max(0.001, until_s - time.monotonic()))
            return self._tls.wrap_socket(connection, server_hostname=endpoint.host)
        except BaseException:
            connection.close()
            raise

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"no answer in {self._endpoint.timeout_s:g} s"
        if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead, BrokenPipeError)):
            return "it closed the connection without a whole answer"
        if untrusted := getattr(error, "verify_message", ""):  # ssl.SSLCertVerificationError
            return f"its certificate is not trusted: {untrusted} (OTEL_EXPORTER_OTLP_CERTIFICATE names those that are)"
        if isinstance(error, _TooLong):
            return "its answer does not end"
        if isinstance(error, http.client.HTTPException) or not isinstance(error, OSError):
            grpc = ": this is the port of gRPC, OTLP/HTTP has 4318" if self._endpoint.port == _GRPC_PORT else ""
            return f"its answer is not HTTP{grpc}"
        return getattr(error, "strerror", None) or str(error) or type(error).__name__

    def close(self) -> None:
        """Close it; the next request opens another one."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None


def _has_more(connection: socket.socket) -> bool:
    """Return whether there is something to read, or the end, where nothing was asked for."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _head(endpoint: Endpoint) -> bytes:
    """Return the request without the length of its body."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    lines = [
        f"POST {endpoint.path} HTTP/1.1",
        f"Host: {host}:{endpoint.port}",
        f"User-Agent: {_AGENT}",
        "Content-Type: application/json",
        "Accept: application/json",
    ]
    if endpoint.gzip:
        lines.append("Content-Encoding: gzip")
    named = {name.lower() for name, _ in endpoint.headers}
    lines = [line for line in lines if line.partition(":")[0].lower() not in named]
    lines += [f"{name}: {value}" for name, value in endpoint.headers]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
