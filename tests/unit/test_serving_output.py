"""Where `serve` puts its text: the HTTP server, and the file for node_exporter."""

from __future__ import annotations

import errno
import gzip
import http.client
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.commands.serve import Served, chosen_options
from ebpftop.core.records import SCHEMA, Header
from ebpftop.core.source import SourceError, UsageError
from ebpftop.serving import listener
from ebpftop.serving.address import Address, parse_address
from ebpftop.serving.listener import CONNECTIONS_MAX, REQUEST_BYTES, Health, Listener, listen
from ebpftop.serving.textfile import TextFile
from ebpftop.serving.totals import Totals

LOOPBACK = Address("127.0.0.1", 0)
TEXT = b"x" * (4 << 20)
"""More than a socket takes at once."""


@pytest.fixture
def serving() -> Iterator[Listener]:
    one = Listener(listen(LOOPBACK), lambda: TEXT, lambda: Health(True, "well"))
    one.start()
    yield one
    one.close()


def get(serving: Listener, path: str = "/metrics", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)
    client.request(method, path, headers=headers)
    return client.getresponse()


def connected(serving: Listener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", serving.port), timeout=30)


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_text_and_its_type(serving: Listener) -> None:
    answer = get(serving)
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert answer.read() == TEXT
    assert get(serving, "/metrics?name=x").read() == TEXT
    packed = get(serving, **{"Accept-Encoding": "deflate, gzip;q=0.9"})
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(packed.read()) == TEXT
    assert get(serving, **{"Accept-Encoding": "gzip;q=0"}).getheader("Content-Encoding") is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *[("GET", "/", 200), ("GET", "/healthz", 200), ("GET", "/nothing", 404), ("POST", "/metrics", 405)],
        *[("HEAD", "/metrics", 200), ("GET", "//metrics", 404), ("GET", "/../metrics", 404)],
    ],
)
def test_other_requests(serving: Listener, method: str, path: str, status: int) -> None:
    answer = get(serving, path, method)
    assert answer.status == status
    assert bool(answer.read()) == (method != "HEAD")


@pytest.mark.parametrize(
    "request_",
    [
        *[
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /metrics\r\n\r\n",
            b"\0\xff\x16\x03\x01\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
        ],
        *[b"GET /metrics SMTP\r\n\r\n", b"x" * (REQUEST_BYTES + 1), b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 2000],
    ],
)
def test_what_is_no_request_is_refused(serving: Listener, request_: bytes) -> None:
    with connected(serving) as client:
        client.sendall(request_)
        assert client.recv(12) == b"HTTP/1.1 400"
    assert get(serving, "/healthz").status == 200


def test_silent_and_slow_clients_keep_nobody_out(serving: Listener) -> None:
    silent = [connected(serving) for _ in range(CONNECTIONS_MAX)]
    for client in silent[1::2]:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
    for client in silent[2::4]:  # they ask for all of it, and read nothing
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    for _ in range(8):
        assert get(serving).read() == TEXT
    assert is_closed(silent[0])
    for client in silent:
        client.close()


def test_a_client_that_drips_is_closed_in_time(serving: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PATIENCE_S", 0.2)
    with connected(serving) as client:
        client.sendall(b"G")
        began_s = time.monotonic()
        assert is_closed(client)
        assert time.monotonic() - began_s < 10


def test_the_end_does_not_wait_for_clients(serving: Listener) -> None:
    clients = [connected(serving) for _ in range(3)]
    clients[0].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    get(serving, "/healthz").read()
    serving.close()
    serving.close()
    assert is_closed(clients[1])
    for client in clients:
        client.close()


def test_health_is_whether_readings_come(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Totals(Header(schema=SCHEMA, version="1", started=1.0), ("users",))
    served = Served(whole.reading(), "coarse", 10.0)
    assert served.health() == (True, "the last reading is 0.0 s old; not attached: users")
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 31)
    assert not served.health().well
    text = served.text()
    assert served.text() is text
    served.set(whole.reading())
    assert served.health().well
    assert served.text() is not text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9", Address("127.0.0.1", 9)),
        ("[::1]:9", Address("::1", 9)),
        (":9", Address("", 9)),
        *[(wrong, None) for wrong in ("", "9", "a", "a:", "a:b", "::1:9", "a:-1", "a:65536", "[::1]9", "a:\u0663")],
    ],
)
def test_addresses(text: str, address: Address | None) -> None:
    if address is None:
        with pytest.raises(ValueError, match="is not ADDR:PORT"):
            parse_address(text)
    else:
        assert parse_address(text) == address
        assert str(address) == text


def test_an_address_that_cannot_be_used(serving: Listener) -> None:
    with pytest.raises(SourceError, match=r"cannot listen at .*: Address already in use; name another one"):
        listen(Address("127.0.0.1", serving.port))
    with pytest.raises(SourceError, match="name an address of this machine"):
        listen(Address("192.0.2.1", 0))
    with pytest.raises(UsageError, match=r"--listen a\.\.b:9"):
        listen(Address("a..b", 9))


@pytest.mark.parametrize(
    ("words", "probes"),
    [
        ([], ("execs", "users", "syscalls")),
        (["--by", "unit"], ("execs", "users", "syscalls", "cgroups")),
        (["--probes", "users", "--by", "container"], ("users", "cgroups")),
        (["--probes", "users,trace"], None),
    ],
)
def test_only_what_is_served_is_attached(words: list[str], probes: tuple[str, ...] | None) -> None:
    args = parser().parse_args(["serve", *words])
    if probes is None:
        with pytest.raises(UsageError, match="--probes trace: there are no metrics of it"):
            chosen_options(args)
    else:
        options = chosen_options(args)
        assert (options.probes, options.interval_s) == (probes, 5.0)
        assert not (options.exec_events)
        assert not (options.in_flight)
        assert not (options.processes)
        assert not (options.env_names)


# ---- The file ----


def test_the_file_is_replaced_whole_and_others_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        file = TextFile(str(tmp_path / "a.prom"), print)
        assert list(tmp_path.iterdir()) == []
        file.write(b"one\n")
        with open(tmp_path / "a.prom") as reader:
            file.write(b"two\n")
            assert reader.read() == "one\n"
    finally:
        os.umask(old)
    assert [(one.name, one.read_text(), one.stat().st_mode & 0o777) for one in tmp_path.iterdir()] == [
        ("a.prom", "two\n", 0o644)
    ]
    file.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [("a.txt", UsageError), (".prom", UsageError), ("no/a.prom", SourceError), ("folder.prom", SourceError)],
)
def test_a_file_that_could_not_be_written_is_refused_at_once(
    tmp_path: Path, name: str, error: type[SourceError]
) -> None:
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(error):
        TextFile(str(tmp_path / name), print)
    assert [one.name for one in tmp_path.iterdir()] == ["folder.prom"]


def test_what_goes_wrong_later_is_reported_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    folder = tmp_path / "folder"
    folder.mkdir()
    file = TextFile(str(folder / "a.prom"), reports.append)
    folder.rename(tmp_path / "gone")
    file.write(b"1")
    file.write(b"2")
    assert len(reports) == 1
    assert "a.prom was not written: No such file or directory; it is tried again" in reports[0]
    (tmp_path / "gone").rename(folder)
    file.write(b"3")
    assert reports[1].endswith("a.prom is written again")

    def full(_from: str, _to: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        file.write(b"4")
    assert "No space left" in reports[2]
    assert [(one.name, one.read_bytes()) for one in folder.iterdir()] == [("a.prom", b"3")]


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    file = TextFile(str(tmp_path / "a.prom"), print)
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (tmp_path / f".a.prom.{os.getpid()}.part").symlink_to(secret)
    file.write(b"text")
    assert secret.read_text() == "mine"
    assert (tmp_path / "a.prom").read_bytes() == b"text"
