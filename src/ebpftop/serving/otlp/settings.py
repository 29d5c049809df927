"""Where telemetry is sent, and what it says it is of: an URL, and the variables of the OpenTelemetry specification.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and ../configuration/sdk-environment-variables/. An empty
variable is none. No text of an error has the value of a header: it may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from ebpftop.core.source import UsageError

Signal: TypeAlias = Literal["logs", "metrics"]

DEFAULT_URL = "http://localhost:4318"
_PREFIX = "OTEL_EXPORTER_OTLP"
_TIMEOUT_MS = 10_000
_METRIC_INTERVAL_MS = 60_000
_LONGEST_MS = 24 * 3600 * 1000
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token (RFC 9110)."""
_OURS = ("content-length", "content-type", "content-encoding", "transfer-encoding", "host", "connection", "expect")
_HEADERS_FORM = "write NAME=VALUE,NAME=VALUE in ASCII, with %2C for a comma and %20 for a space in a value"


class Endpoint(NamedTuple):
    """Where one signal is sent. `timeout_s` is the longest that an answer is waited for."""

    https: bool
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    gzip: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.https else 'http'}://{host}:{self.port}{self.path.partition('?')[0]}"


class Certificates(NamedTuple):
    """Files for https; an empty name is none."""

    trusted: str
    own: str
    key: str


class Settings(NamedTuple):
    """How to send. A signal without an endpoint is not sent."""

    logs: Endpoint | None
    metrics: Endpoint | None
    certificates: Certificates
    resource: Mapping[str, str]
    metric_interval_s: float


def is_disabled(environment: Mapping[str, str]) -> bool:
    """Return whether OTEL_SDK_DISABLED says that nothing is to be sent."""
    return environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def sends_no_logs(environment: Mapping[str, str]) -> bool:
    """Return whether OTEL_LOGS_EXPORTER says that no events are to be sent."""
    return environment.get("OTEL_LOGS_EXPORTER", "").strip() == "none"


def read_settings(url: str, environment: Mapping[str, str], defaults: Mapping[str, str]) -> Settings:
    """Return the settings; raises UsageError.

    *url*, where it is not empty, wins over the variables. *defaults* are attributes of the resource that these may
    replace.
    """
    return Settings(
        _endpoint("logs", url, environment),
        _endpoint("metrics", url, environment),
        Certificates(*(environment.get(f"{_PREFIX}_{name}", "") for name in _CERTIFICATES)),
        _resource(environment, defaults),
        _ms("OTEL_METRIC_EXPORT_INTERVAL", environment.get("OTEL_METRIC_EXPORT_INTERVAL", ""), _METRIC_INTERVAL_MS),
    )


_CERTIFICATES = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")


def _of_signal(signal: Signal, name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of the variable that holds for a signal, and its value."""
    own = f"{_PREFIX}_{signal.upper()}_{name}"
    if value := environment.get(own, "").strip():
        return own, value
    return f"{_PREFIX}_{name}", environment.get(f"{_PREFIX}_{name}", "").strip()


def _endpoint(signal: Signal, url: str, environment: Mapping[str, str]) -> Endpoint | None:
    exporter = f"OTEL_{signal.upper()}_EXPORTER"
    match environment.get(exporter, "").strip():
        case "none":
            return None
        case "" | "otlp":
            pass
        case other:
            raise UsageError(f"{exporter}={other}: only otlp and none are known", f"unset {exporter}")
    name, protocol = _of_signal(signal, "PROTOCOL", environment)
    if protocol not in ("", "http/json"):
        raise UsageError(
            f"{name}={protocol}: ebpftop speaks http/json only",
            f"unset {name}; collectors take it at port 4318, as http/protobuf",
        )
    name, compression = _of_signal(signal, "COMPRESSION", environment)
    if compression not in ("", "gzip", "none"):
        raise UsageError(f"{name}={compression}: only gzip and none are known", f"unset {name}")
    own = f"{_PREFIX}_{signal.upper()}_ENDPOINT"
    if not url and (whole := environment.get(own, "").strip()):
        https, host, port, path = _place(own, whole, is_base=False)
    else:
        general = environment.get(f"{_PREFIX}_ENDPOINT", "").strip()
        origin = "--otlp" if url else f"{_PREFIX}_ENDPOINT"
        https, host, port, base = _place(origin, url or general or DEFAULT_URL, is_base=True)
        path = f"{base.rstrip('/')}/v1/{signal}"
    return Endpoint(
        https,
        host,
        port,
        path,
        _headers(*_of_signal(signal, "HEADERS", environment)),
        _ms(*_of_signal(signal, "TIMEOUT", environment), _TIMEOUT_MS),
        compression != "none",
    )


def _place(origin: str, url: str, *, is_base: bool) -> tuple[bool, str, int, str]:
    """Return the parts of *url*; *is_base*: the path of each signal is appended to it."""
    example = "write it as http://127.0.0.1:4318, or https://collector.example:4318"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"{origin}: this is not an URL: {error}", example) from error
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{origin}: this is not an URL of http or https", example)
    if "@" in parts.netloc:
        raise UsageError(
            f"{origin}: a name and password in an URL can be read by every user",
            f"put them into {_PREFIX}_HEADERS: Authorization=Basic%20..",
        )
    if port == 0:
        raise UsageError(f"{origin}: nothing listens at port 0", example)
    try:
        host.encode("idna")  # as the resolver will
    except UnicodeError as error:
        raise UsageError(f"{origin}: no machine has the name {host}", example) from error
    wrong = re.search(r"[^\x21-\x7e]", url)
    if wrong or parts.fragment or (is_base and parts.query):
        what = "what is not ASCII, or a blank," if wrong else "a fragment or a query"
        raise UsageError(f"{origin}: {what} cannot be part of it", example)
    if is_base and re.search(r"/v1/(logs|metrics|traces)/?$", parts.path):
        raise UsageError(f"{origin}: {parts.path} is appended by ebpftop", "name what is before it")
    https = parts.scheme == "https"
    path = parts.path or "/"
    return https, host, port or (443 if https else 80), f"{path}?{parts.query}" if parts.query else path


def _headers(name: str, value: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for number, (key, text) in enumerate(_pairs(name, value, _HEADERS_FORM), 1):
        if not _NAME.fullmatch(key):  # not shown: it may be what is behind a comma of a secret
            raise UsageError(f"{name}: its part {number} has no name that a header can have", _HEADERS_FORM)
        if key.lower() in _OURS:
            raise UsageError(f"{name}: {key} is a header that ebpftop sets itself", "leave it out")
        if not text.isascii() or not text.isprintable():
            raise UsageError(f"{name}: the value of {key} has characters that no header may have", _HEADERS_FORM)
        headers.append((key, text))
    return tuple(headers)


def _resource(environment: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    name = "OTEL_RESOURCE_ATTRIBUTES"
    form = "write KEY=VALUE,KEY=VALUE, with %2C for a comma in a value"
    resource = {**defaults, **dict(_pairs(name, environment.get(name, ""), form))}
    if service := environment.get("OTEL_SERVICE_NAME", "").strip():
        if not _is_utf8(service):
            raise UsageError("OTEL_SERVICE_NAME: it is not UTF-8")
        resource["service.name"] = service
    return resource


def _pairs(name: str, value: str, form: str) -> list[tuple[str, str]]:
    """Return keys and values of a list in a variable, without %XX."""
    pairs = []
    for one in value.split(","):
        if not one.strip():
            continue
        key, equals, text = one.partition("=")
        try:
            key, text = unquote(key.strip(), errors="strict"), unquote(text.strip(), errors="strict")
        except UnicodeDecodeError as error:
            raise UsageError(f"{name}: a value is not UTF-8", form) from error
        if not equals or not key:
            raise UsageError(f"{name}: a part of it is not KEY=VALUE", form)
        if not (_is_utf8(key) and _is_utf8(text)):
            raise UsageError(f"{name}: a value is not UTF-8", form)
        pairs.append((key, text))
    return pairs


def _is_utf8(text: str) -> bool:
    """Return whether *text*, of a variable, was UTF-8: Python keeps other bytes as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ms(name: str, value: str, default: int) -> float:
    """Return the seconds of a variable in ms."""
    text = value.strip() or str(default)
    if not re.fullmatch(r"0*[0-9]{1,9}", text) or not 1 <= int(text[-9:]) <= _LONGEST_MS:
        raise UsageError(f"{name}={text}: this is not a number of milliseconds, from 1 to {_LONGEST_MS}")
    return int(text[-9:]) / 1000
