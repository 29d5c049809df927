"""Open a recording of any format: lines, marked zstd frames, or zstd of another program; report other files."""

from __future__ import annotations

import errno
import itertools
import os
import re
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeAlias, TypeGuard

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import SCHEMA, UNKNOWN_HOST, Header
from ebpftop.core.source import SourceError
from ebpftop.recording import schema1, zstd_frames
from ebpftop.recording.chunks import MAX_CHUNKS, PLAIN_STRETCH, ZST_STRETCH, Chunk, FileChunks, OpenChunks, ZstChunks
from ebpftop.recording.hosts import OneHost, SeveralHosts, several_hosts
from ebpftop.recording.lines import LineJoiner
from ebpftop.recording.parse import ReadError, ReadErrors, read_lines
from ebpftop.recording.parts import joined, paths_of

# If this many chunks have no record, the file is not a recording.
_SEARCHED_CHUNKS = 64
# A header is among so many records, behind what a remote shell or damage left before it.
_HEADER_WITHIN = 64
_HEAD_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 10
_NOTICE_AFTER_S = 1.0
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_MARKED = re.compile(
    re.escape(zstd_frames.MARK) + b".{%d}" % zstd_frames.COUNT_BYTES + re.escape(zstd_frames.MAGIC), re.S
)
_NO_RECORDING = "`ebpftop record FILE` makes one"

Parts: TypeAlias = tuple[tuple[int, str], ...]
"""The descriptors of several files, and their names."""


def open_file(path: str) -> int:
    """Return a descriptor to read *path* from; SourceError with the cause. A pipe need not have a writer yet."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        remedy = "give it to a user who may read it" if error.errno in _FORBIDDEN else _NO_RECORDING
        raise SourceError(f"cannot open {path}: {error.strerror}", remedy) from error
    require_no_device(fd, path)
    return fd


def require_no_device(fd: int, name: str) -> None:
    """Raise SourceError and close *fd* if it is a device other than a terminal: many devices never end."""
    if stat.S_ISCHR(os.fstat(fd).st_mode) and not os.isatty(fd):
        os.close(fd)
        raise SourceError(f"{name} is a device", _NO_RECORDING)


def wait_for_first(fd: int, notice: Callable[[], None]) -> None:
    """Wait until something can be read from *fd*, and call *notice* if that takes longer than a second."""
    if not select.select((fd,), (), (), _NOTICE_AFTER_S)[0]:
        notice()
        select.select((fd,), (), ())
    os.set_blocking(fd, True)


def is_stream(fd: int | Parts) -> TypeGuard[int]:
    """Whether *fd* can only be read once, from its beginning: a pipe, a socket, a terminal."""
    if not isinstance(fd, int):
        return False
    mode = os.fstat(fd).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode))


def open_files(path: str) -> int | Parts:
    """Return what to read *path* from: a descriptor, or those of its parts; SourceError with the cause."""
    paths = paths_of(path)
    if paths == [path]:
        return open_file(path)
    return tuple((open_file(one), one) for one in paths)


def open_recording(
    fd: int | Parts, path: str, damage: ReadErrors, host: str | None = None
) -> tuple[Header, OpenChunks]:
    """Return the header and the chunks of the file *fd*, which they now own; SourceError if it is not a recording.

    Of several files all chunks, in the order of their time. Of records of several hosts those of *host*; SourceError if
    there are none of these, or of several at the beginning.

    If a header does not say schema 2, the lines are upgraded to it.
    """
    if isinstance(fd, int):
        header, chunks = _open_one(fd, path, damage, host)
        return as_schema2(header), chunks
    total = sum(os.fstat(one).st_size for one, _ in fd)
    found: list[tuple[str, Header, FileChunks]] = []
    failed: SourceError | None = None
    try:
        for number, (one, name) in enumerate(fd):
            try:
                found.append((name, *_open_one(one, name, damage, host, total)))
            except SeveralHosts:
                raise
            except SourceError as error:
                failed = error
                # Other hosts have parts of their own, and the newest part may not have begun yet.
                if host is None and number + 1 < len(fd):
                    damage.note(f"{error.cause}: left out")
        if not found:
            assert failed is not None
            raise failed
        header, all_chunks = joined(found, damage)
        others = list(dict.fromkeys(header.host for _, header, _ in found if header.host != UNKNOWN_HOST))
        if len(others) > 1:
            raise several_hosts(path, others)
    except SourceError:
        for _, _, chunks in found:
            chunks.close()
        raise
    return as_schema2(header), all_chunks


def _open_one(fd: int, path: str, damage: ReadErrors, host: str | None, total: int = 0) -> tuple[Header, FileChunks]:
    """Return the header and the chunks of one file, of *total* bytes together with others."""
    chunks = _open_chunks(fd, path, damage, total)
    hosts = OneHost(host, in_order=False)
    damage.hosts.append(hosts)
    chunks.chosen = hosts.lines_of
    try:
        header = _read_header(chunks, path, damage, hosts, f"{path}: " if total else "")
        hosts.refuse_others(path)
    except SourceError:
        chunks.close()
        raise
    if header.schema < SCHEMA:
        chunks.upgrade = schema1.upgrade
    return header, chunks


def as_schema2(header: Header) -> Header:
    """Return the header of a recording that is upgraded to schema 2 if it is older, and made one of its parts."""
    return msgspec.structs.replace(header, schema=max(header.schema, SCHEMA), part=None, held=None)


def _open_chunks(fd: int, path: str, damage: ReadErrors, total: int = 0) -> FileChunks:
    """Return the chunks of the file *fd*, which they now own; SourceError if it cannot be a recording.

    *total* bytes it is, with others, that share the number of chunks that there may be.
    """
    least = total // MAX_CHUNKS
    try:
        head = _read_head(fd, path)
        if _MARKED.search(head):
            return ZstChunks(os.dup(fd), max(ZST_STRETCH, least))
        # Damage at the start of a plain file may look like a frame, of which nothing can be unpacked.
        if not head.startswith(zstd_frames.MAGIC) or not zstd_frames.unpack(head, 0, _SAMPLE_BYTES).data:
            return FileChunks(os.dup(fd), max(PLAIN_STRETCH, least))
        return ZstChunks(_spool(fd, damage))
    except OSError as error:
        raise SourceError(
            f"{path} was compressed by another program and has to be unpacked to move in it: {error.strerror}",
            f"`zstdcat {path} | ebpftop replay -` shows it",
        ) from error
    finally:
        os.close(fd)


def _read_head(fd: int, path: str) -> bytes:
    """Return the first bytes of the file *fd*; SourceError if it cannot be a recording."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise SourceError(f"{path} is not a file", _NO_RECORDING)
    try:
        head = os.pread(fd, _HEAD_BYTES, 0)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", "`dmesg` shows what its disk reported") from error
    if not head:
        raise SourceError(f"{path} is empty", _NO_RECORDING)
    if head.startswith(b"\x1f\x8b"):
        raise SourceError(f"{path} is compressed with gzip", f"`zcat {path} | ebpftop replay -` shows it")
    return head


def _read_header(chunks: FileChunks, path: str, damage: ReadErrors, hosts: OneHost, which: str) -> Header:
    """Return the header, or a substitute if it is damaged; SourceError if there is no record."""
    # A host may have come to the others at any time.
    for number in range(chunks.stop if hosts.host is not None else min(chunks.stop, _SEARCHED_CHUNKS)):
        header = header_of(chunks.load(number), damage, which)
        if header is not None:
            return header
    raise hosts.not_found(path) or SourceError(f"{path} is not a recording of ebpftop", _NO_RECORDING)


def header_of(chunk: Chunk, damage: ReadErrors, which: str = "") -> Header | None:
    """Return the header in *chunk*, or one made from its first record; None if it has no record at all.

    *which* of several files it is begins what is said of a missing one.
    Its `schema` is 0 if the header is missing, or does not say it: then lines may be of schema 1.
    """
    first: float | None = None
    for at, record in enumerate(read_lines(schema1.upgrade(chunk.data))):
        if isinstance(record, Header):
            if record.schema > SCHEMA:
                damage.note(
                    f"written by ebpftop {record.version} in schema {record.schema}, of which this version, which "
                    f"knows schema {SCHEMA}, shows what it can"
                )
            return record
        if not isinstance(record, Foreign):
            first = record.time if first is None else first
            if at > _HEADER_WITHIN:
                break
    if first is None:
        return None
    if damage.hosts and (host := damage.hosts[-1].host) is not None:
        damage.note(f"{which}the header is missing: the kernel is not known")
        return Header(started=first, host=escape(host))
    damage.note(f"{which}the header is missing: host and kernel are not known")
    return Header(started=first)


def _spool(fd: int, damage: ReadErrors) -> int:
    """Rewrite the zstd file *fd* as marked frames into a temporary file without a name, and return its descriptor.

    One long frame, as `zstd FILE` writes it, can only be read from its start.
    """
    with tempfile.TemporaryFile() as spool:
        joiner = LineJoiner()
        for piece in itertools.chain(_unpacked(fd, damage), (b"",)):
            lines = joiner.add(piece) if piece else joiner.rest()
            if lines:
                spool.write(zstd_frames.pack(lines, lines.count(b"\n"), level=1))
        spool.flush()
        return os.dup(spool.fileno())


def _unpacked(fd: int, damage: ReadErrors) -> Iterator[bytes]:
    """Yield what the frames of *fd* hold, up to the first damage."""
    stream = zstd_frames.Stream()
    offset = 0
    while packed := os.pread(fd, _HEAD_BYTES, offset):
        offset += len(packed)
        try:
            yield from stream.feed(packed)
        except zstd_frames.ZstdError as error:
            damage.add(ReadError(None, None, f"a damaged zstd frame ends what can be read ({error})"))
            return
    if stream.inside:
        damage.add(ReadError(None, None, "cut off inside a zstd frame"))
