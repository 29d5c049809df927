"""What the kernel tells of the eBPF programs, maps and links of the machine, whoever made them.

All of it takes CAP_SYS_ADMIN (that is what it takes to open one by its id), so kernel/root_helper.py does it. Layouts:
include/uapi/linux/bpf.h. Structures grow at their end; of an older kernel, what it does not know stays 0.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from ebpftop.kernel import bpf_syscall, btf, cgroups
from ebpftop.kernel.errors import BtfError

# enum bpf_cmd
_PROG_NEXT, _PROG_OPEN, _MAP_OPEN, _QUERY, _BTF_OPEN, _LINK_OPEN, _LINK_NEXT = (
    *(11, 13, 14, 16, 19),
    *(30, 31),
)
COUNTS_MAX = 1024
"""Programs of one answer of `counts`."""
FACTS_MAX = 64
"""Programs, maps or links of one answer of the others."""

NAME_MAX = 256
_CUT = 15  # BPF_OBJ_NAME_LEN without its NUL: a longer name is cut there
_MAPS_MAX = 64  # MAX_USED_MAPS, include/linux/bpf_verifier.h
_BTF_MAX = 4 << 20


class Counts(NamedTuple):
    """Totals of a program since it was loaded; the first two grow only while run statistics are on."""

    id: int
    run_ns: int
    runs: int
    misses: int


class ProgramFacts(NamedTuple):
    """What does not change of a program. `loaded_ns` is since boot; what a program
    of tracing is attached to is the type `attach_type` of the BTF object named `attach_btf`.

    `function` is the whole name of its main function, empty if the kernel does not know it.
    """

    id: int
    type: int
    tag: bytes
    insns: int
    loaded_ns: int
    uid: int
    name: bytes
    maps: tuple[int, ...]
    function: bytes
    attach_btf: bytes
    attach_type: int
    ifindex: int


class MapFacts(NamedTuple):
    """A map; `memory` is what it takes in the kernel, in bytes."""

    id: int
    type: int
    entries: int
    name: bytes
    memory: int


class LinkFacts(NamedTuple):
    """A link: which program it attaches where.

    `words` are what the union of struct bpf_link_info begins with, `text` the name that it points to.
    """

    id: int
    type: int
    program: int
    words: bytes
    text: bytes


# ---- programs ----

_COUNTS_AT = 192  # struct bpf_prog_info: run_time_ns, run_cnt, recursion_misses
_COUNTS = struct.Struct("=QQQ")
# Before them: type, id, tag, two lengths, two pointers, load_time, created_by_uid, nr_map_ids, map_ids, name, ifindex.
_FACTS = struct.Struct("=II8sIIQQQIIQ16sI")
_MAP_COUNT_AT, _BTF_ID_AT, _FUNCTIONS_AT, _ATTACH_BTF_AT = 52, 128, 132, 220


def counts(than: int) -> list[Counts]:
    """Return the totals of the next `COUNTS_MAX` programs whose ids are higher than *than*; raises OSError."""
    found: list[Counts] = []
    info = bpf_syscall.InfoBuffer()
    while len(found) < COUNTS_MAX:
        try:
            than = bpf_syscall.next_id(_PROG_NEXT, than)
        except FileNotFoundError:
            break
        with suppress(FileNotFoundError):  # it is no longer there
            fd = _open(_PROG_OPEN, than)
            try:
                found.append(Counts(than, *_COUNTS.unpack_from(info.of(fd), _COUNTS_AT)))
            finally:
                os.close(fd)
    return found


def programs(ids: Iterable[int]) -> list[ProgramFacts]:
    """Return the programs of *ids* that are there; raises OSError."""
    found = []
    for number in ids:
        with suppress(FileNotFoundError):
            fd = _open(_PROG_OPEN, number)
            try:
                found.append(_program(fd))
            finally:
                os.close(fd)
    return found


def _program(fd: int) -> ProgramFacts:
    ids = (ctypes.c_uint32 * _MAPS_MAX)()
    request = bytearray(64)
    struct.pack_into("=IQ", request, _MAP_COUNT_AT, _MAPS_MAX, ctypes.addressof(ids))
    info = bpf_syscall.info(fd, bytes(request))
    kind, number, tag, _, length, _, _, loaded, uid, maps, _, name, ifindex = _FACTS.unpack_from(info)
    name = name.partition(b"\0")[0]
    function = b""
    if len(name) >= _CUT:
        with suppress(OSError, BtfError):
            function = _function_name(fd, info)
    attach_btf, attach_type = struct.unpack_from("=II", info, _ATTACH_BTF_AT)
    return ProgramFacts(
        number,
        kind,
        tag,
        length // 8,
        loaded,
        uid,
        name,
        tuple(ids[: min(maps, _MAPS_MAX)]),
        function,
        _btf_name(attach_btf),
        attach_type,
        ifindex,
    )


def _function_name(fd: int, info: bytes) -> bytes:
    """Return the name of the first function of a program in its own BTF; empty if it has none."""
    (btf_id,), (size, _, count) = struct.unpack_from("=I", info, _BTF_ID_AT), struct.unpack_from("=IQI", info, 132)
    if not btf_id or not count or size < 8:
        return b""
    record = ctypes.create_string_buffer(size)  # struct bpf_func_info: insn_off, type_id
    request = bytearray(152)
    struct.pack_into("=IQI", request, _FUNCTIONS_AT, size, ctypes.addressof(record), 1)
    bpf_syscall.info(fd, bytes(request))
    _, type_id = struct.unpack_from("=II", record.raw)
    return btf.names(_types(btf_id), {type_id}).get(type_id, b"")


# struct bpf_btf_info: btf, btf_size, id, name, name_len
_BTF_SIZE_AT = 8
_CUT_BTF = 64  # MODULE_NAME_LEN


def _types(btf_id: int) -> bytes:
    """Return the types of a program; raises OSError."""
    fd = _open(_BTF_OPEN, btf_id)
    try:
        (size,) = struct.unpack_from("=I", bpf_syscall.info(fd), _BTF_SIZE_AT)
        if size > _BTF_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        blob = ctypes.create_string_buffer(size)
        bpf_syscall.info(fd, struct.pack("=QI", ctypes.addressof(blob), size))
        return blob.raw
    finally:
        os.close(fd)


def _btf_name(btf_id: int) -> bytes:
    """Return the name of a BTF object: ``vmlinux``, or that of a kernel module; empty for other ones, and none."""
    if not btf_id:
        return b""
    name = ctypes.create_string_buffer(_CUT_BTF)
    request = struct.pack("=16xQI", ctypes.addressof(name), _CUT_BTF)
    with suppress(OSError):
        fd = _open(_BTF_OPEN, btf_id)
        try:
            bpf_syscall.info(fd, request)
        finally:
            os.close(fd)
    return name.value


# ---- maps ----


def maps(ids: Iterable[int]) -> list[MapFacts]:
    """Return the maps of *ids* that are there; raises OSError."""
    found = []
    for number in ids:
        with suppress(FileNotFoundError):
            fd = _open(_MAP_OPEN, number)
            try:
                # struct bpf_map_info: type, id, key_size, value_size, max_entries, map_flags, name
                kind, _, _, _, entries, _, name = struct.unpack_from("=6I16s", bpf_syscall.info(fd))
                found.append(MapFacts(number, kind, entries, name.partition(b"\0")[0], _memlock(fd)))
            finally:
                os.close(fd)
    return found


def _memlock(fd: int) -> int:
    """Return what a map takes in the kernel, which only its fdinfo says."""
    return numbers_in(f"/proc/self/fdinfo/{fd}").get(b"memlock", 0)


def numbers_in(path: str) -> dict[bytes, int]:
    """Return the lines of a file that are a name and a number."""
    try:
        fd = os.open(path, os.O_RDONLY)
        try:
            text = os.read(fd, 4096)
        finally:
            os.close(fd)
    except OSError:
        return {}
    pairs = (line.partition(b":") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.strip().isdigit()}


# ---- where programs are attached ----

_LINK = struct.Struct("=III4x48s")  # struct bpf_link_info: type, id, prog_id, union
_UNION_AT = 16
# Of which types the union holds a pointer to a text, where that is, and where its length is.
_TEXT_AT = {1: (0, 8), 4: (0, 8), 7: (8, 16), 12: (0, 32)}  # raw_tracepoint, iter, perf_event, uprobe_multi


def links(than: int) -> list[LinkFacts]:
    """Return the next `FACTS_MAX` links whose ids are higher than *than*; raises OSError, before Linux 5.8 EINVAL."""
    found: list[LinkFacts] = []
    while len(found) < FACTS_MAX:
        try:
            than = bpf_syscall.next_id(_LINK_NEXT, than)
        except FileNotFoundError:
            break
        # It has gone; or EAGAIN: it is being made (bpf_link_by_id() in kernel/bpf/syscall.c).
        with suppress(FileNotFoundError, BlockingIOError):
            fd = _open(_LINK_OPEN, than)
            try:
                found.append(_link(fd))
            finally:
                os.close(fd)
    return found


def _link(fd: int) -> LinkFacts:
    kind, number, program, words = _LINK.unpack_from(bpf_syscall.info(fd))
    text = b""
    place = _TEXT_AT.get(kind)
    has_text = kind != _PERF_EVENT or 0 < words[0] < _EVENT
    if place is not None and has_text:
        name = ctypes.create_string_buffer(NAME_MAX)
        request = bytearray(_UNION_AT + 40)
        struct.pack_into("=Q", request, _UNION_AT + place[0], ctypes.addressof(name))
        struct.pack_into("=I", request, _UNION_AT + place[1], NAME_MAX)
        with suppress(OSError):  # ENOSPC: what fits is there
            bpf_syscall.info(fd, bytes(request))
        text = name.value
    return LinkFacts(number, kind, program, words, text)


_PERF_EVENT, _EVENT = 7, 6  # enum bpf_link_type; enum bpf_perf_event_type


def attached_to_cgroups(attach_type: int, ids: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Return the cgroups of *ids* that have programs of *attach_type*, each with the ids of those; raises OSError."""
    found = []
    with cgroups.handles() as opened:
        for number in ids:
            fd = opened(number)
            if fd is None:  # it is gone
                continue
            try:
                if programs := _attached(fd, attach_type):
                    found.append((number, programs))
            finally:
                os.close(fd)
    return found


def _attached(cgroup_fd: int, attach_type: int) -> tuple[int, ...]:
    ids = (ctypes.c_uint32 * _MAPS_MAX)()
    attr = struct.pack("=IIIIQI", cgroup_fd, attach_type, 0, 0, ctypes.addressof(ids), _MAPS_MAX)
    buffer = ctypes.create_string_buffer(attr, bpf_syscall.ATTR_SIZE)
    if bpf_syscall.call(_QUERY, buffer, bpf_syscall.ATTR_SIZE) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return tuple(ids[: min(count, _MAPS_MAX)])


def open_program(number: int) -> int:
    """Return a descriptor of the program with this id; raises OSError."""
    return _open(_PROG_OPEN, number)


def _open(command: int, number: int) -> int:
    return bpf_syscall.bpf(command, struct.pack("=I", number))
