"""Where sockets lead, and who has their other ends: by tables of the kernel, and by real sockets of this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebpftop.kernel import socket_holders, sockets
from ebpftop.kernel.socket_holders import SocketHolders
from ebpftop.kernel.sockets import Peer, SocketTables
from ebpftop.kernel.unix_sockets import UnixSocket

TCP = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0200000A:C350 0700000A:1538 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
   2: broken
   3: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 18 1 0 20 4 30 10 -1
   4: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   5: 0100007F:C351 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 19 1 0 20 4 30 10 -1
   6: 0100007F:C352 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 20 1 0 20 4 30 10 -1
   7: 0100007F:1F90 0100007F:C352 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   8: 0100007F:1F90 0100007X:C352 05 00000000:00000000 00:00000000 00000000     0        0 21 1 0 20 4 30 10 -1
"""
TCP6 = b"""  sl  local_address                         remote_address  st tx rx tr tm uid timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 13 1
   1: 0000000000000000FFFF00000200000A:C350 0000000000000000FFFF00000700000A:0050 01 0:0 0:0 0 0 0 14 1
   2: 00000000000000000000000001000000:C351 00000000000000000000000001000000:0050 01 0:0 0:0 0 0 0 15 1
   3: 0000000000000000FFFF00000100007F:1F91 0000000000000000FFFF00000100007F:C351 01 0:0 0:0 0 0 0 16 1
"""
UNIX = b"""Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 16 /run/x y.sock
0000000000000000: 00000003 00000000 00000000 0001 03 17
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "net").mkdir()
    (tmp_path / "ns").mkdir()
    (tmp_path / "ns/net").touch()
    for name, table in {"tcp": TCP, "tcp6": TCP6, "unix": UNIX}.items():
        (tmp_path / "net" / name).write_bytes(table)
    return str(tmp_path)


class Everybody(SocketHolders):
    """Has each socket, by a process with the same number."""

    def of(self, inode: int) -> list[int]:
        return [inode]


def peers(task: str, *inodes: int) -> list[tuple[str | None, list[int]]]:
    tables = SocketTables()
    tables.holders = Everybody()
    found = [tables.peer(task, b"socket:[%d]" % inode) for inode in inodes]
    return [(peer.text, list(peer.pids)) for peer in found]


def test_where_sockets_of_the_internet_lead(task: str) -> None:
    assert peers(task, *range(11, 16)) == [
        ("tcp listening on 127.0.0.1:8080", []),
        ("tcp 10.0.0.7:5432", []),
        ("tcp listening on [::]:22", []),
        ("tcp 10.0.0.7:80", []),
        ("tcp [::1]:80", []),
    ]


def test_the_other_end_in_the_same_network_namespace_has_holders(task: str) -> None:
    assert peers(task, 19, 18, 20, 21) == [
        ("tcp 127.0.0.1:8081", [16]),  # an IPv4 address of an IPv6 socket is the same
        ("tcp 127.0.0.1:8080", [11]),  # nobody has accepted it: who listens could
        ("tcp 127.0.0.1:8080", []),  # the other end was closed
        (None, []),
    ]


def test_unix_sockets_have_the_name_and_the_holder_of_the_other_end(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        UnixSocket(30, socket.SOCK_STREAM, 10, b"/run/db", 0, (33,)),
        UnixSocket(31, socket.SOCK_STREAM, 1, b"", 32, ()),
        UnixSocket(32, socket.SOCK_STREAM, 1, b"/run/db", 31, ()),
        UnixSocket(33, socket.SOCK_STREAM, 1, b"", 0, ()),
        UnixSocket(34, socket.SOCK_SEQPACKET, 1, b"", 35, ()),
        UnixSocket(36, socket.SOCK_STREAM, 1, b"", 0, ()),
    ]
    monkeypatch.setattr(sockets, "unix_sockets", lambda _: iter(rows))
    assert peers(task, 30, 31, 32, 33, 34, 36) == [
        ("unix listening on /run/db", []),
        ("unix /run/db", [32]),
        ("unix /run/db", [31]),
        ("unix /run/db", [30]),
        ("unix seqpacket", [35]),
        (None, []),
    ]


def test_without_sock_diag_a_unix_socket_has_its_own_name(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> Iterator[UnixSocket]:
        raise FileNotFoundError

    monkeypatch.setattr(sockets, "unix_sockets", refused)
    assert peers(task, 16, 17) == [("unix listening on /run/x y.sock", []), (None, [])]


def test_what_is_no_socket_or_of_a_process_that_has_ended_leads_nowhere(task: str) -> None:
    tables = SocketTables()
    assert tables.peer(task, b"/run/x.sock") == Peer(None)
    assert tables.peer(f"{task}/{os.getpid()}", b"socket:[11]") == Peer(None)


def test_real_sockets_of_this_process_lead_to_it() -> None:
    with ExitStack() as open_ones:
        both = [open_ones.enter_context(one) for one in socket.socketpair(type=socket.SOCK_SEQPACKET)]
        server = open_ones.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = open_ones.enter_context(socket.create_connection(server.getsockname()))
        named = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(f"\0ebpftop-test-{os.getpid()}")
        named.listen()
        caller = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        caller.connect(named.getsockname())
        accepted = open_ones.enter_context(named.accept()[0])
        waiting = open_ones.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(named.getsockname())
        port = server.getsockname()[1]
        tables = SocketTables()
        found = {}
        for one in (*both, client, named, caller, accepted, waiting):
            peer = Peer(None, searched=False)
            while not peer.searched:
                tables.holders.begin_part()
                peer = tables.peer("/proc/thread-self", os.readlink(f"/proc/self/fd/{one.fileno()}").encode())
            found[one] = peer
    name = f"unix @ebpftop-test-{os.getpid()}"
    assert [found[one].text for one in both] == ["unix seqpacket"] * 2
    assert found[client].text == f"tcp 127.0.0.1:{port}"
    assert [found[one].text for one in (caller, accepted, waiting)] == [name] * 3
    assert found[named] == Peer(name.replace(" ", " listening on ", 1))
    assert all(os.getpid() in found[one].pids for one in found if one is not named)


def test_a_socket_that_is_newer_than_the_tables_is_searched_again(task: str) -> None:
    tables = SocketTables()
    assert tables.peer(task, b"socket:[77]") == Peer(None), "the tables are new, and have no such socket"
    tables._again_s = dict.fromkeys(tables._again_s, float("inf"))
    assert tables.peer(task, b"socket:[78]") == Peer(None, searched=False)
    tables._again_s.clear()
    assert tables.peer(task, b"socket:[78]") == Peer(None)


def holding(proc: Path, **links: str) -> None:
    for place, link in links.items():
        pid, _, fd = place[1:].partition("_")
        (proc / pid / "fd").mkdir(parents=True, exist_ok=True)
        (proc / pid / "fd" / fd).symlink_to(link)


def answer(holders: SocketHolders, inode: int) -> list[int] | None:
    holders.begin_part()
    found = holders.of(inode)
    return None if found is None else list(found)


def test_all_who_have_a_socket_are_found_and_believed_only_while_they_have_it(tmp_path: Path) -> None:
    holding(tmp_path, p7_3="socket:[50]", p9_4="socket:[50]", p9_5="/dev/null", p9_6="socket:[51]", p9_7="socket:[x]")
    (tmp_path / "12").mkdir()  # it has ended
    (tmp_path / "version").touch()
    holders = SocketHolders(str(tmp_path))
    assert [answer(holders, inode) for inode in (50, 51)] == [[7, 9], [9]]
    (tmp_path / "7/fd/3").unlink()
    assert answer(holders, 50) == [9]


def test_a_round_is_read_in_parts_and_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent_s, now_s = [0.0], [100.0]

    def thread_time() -> float:
        spent_s[0] += 0.003
        return spent_s[0]

    monkeypatch.setattr(socket_holders, "thread_time", thread_time)
    monkeypatch.setattr(socket_holders, "monotonic", lambda: now_s[0])
    for pid in range(1, 9):
        holding(tmp_path, **{f"p{pid}_0": f"socket:[{pid}]"})
    holders = SocketHolders(str(tmp_path))
    parts = 1
    while (found := answer(holders, 5)) is None:
        parts += 1
    assert found == [5]
    assert parts > 1
    assert answer(holders, 7) == [7], "the round has it, too"
    assert answer(holders, 99) is None, "another round so soon would take too much"
    now_s[0] += 100
    while (found := answer(holders, 99)) is None:
        pass
    assert found == [], "nobody has it"
