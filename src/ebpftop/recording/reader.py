"""Open a recording of any format: lines, marked zstd frames, or zstd of another program; report other files."""

from __future__ import annotations

import errno
import os
import select
import stat
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.records import SCHEMA, Foreign, Header
from ebpftop.core.source import SourceError
from ebpftop.recording import schema1, zstd_frames
from ebpftop.recording.chunks import Chunk, FileChunks, PlainChunks, ZstChunks
from ebpftop.recording.kinds import kind_of
from ebpftop.recording.parse import LAST_TIME, MAX_LINE_BYTES, ReadError, ReadErrors, read_lines

# If this many chunks have no record, the file is not a recording.
_SEARCHED_CHUNKS = 64
_HEAD_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 10
_NOTICE_AFTER_S = 1.0
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_NO_RECORDING = "`ebpftop record FILE` makes one"


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


def is_stream(fd: int) -> bool:
    """Whether *fd* can only be read once, from its beginning: a pipe, a socket, a terminal."""
    mode = os.fstat(fd).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode))


def open_recording(fd: int, path: str, damage: ReadErrors) -> tuple[Header, FileChunks]:
    """Return the header and the chunks of the file *fd*, which they now own; SourceError if it is not a recording.

    If the header does not say schema 2, the lines are upgraded to it.
    """
    chunks = _open_chunks(fd, path, damage)
    header = _read_header(chunks, path, damage)
    if header.schema >= SCHEMA:
        return header, chunks
    return as_schema2(header), schema1.UpgradedChunks(chunks)


def as_schema2(header: Header) -> Header:
    """Return the header of what is upgraded to schema 2."""
    return msgspec.structs.replace(header, schema=SCHEMA)


def _open_chunks(fd: int, path: str, damage: ReadErrors) -> PlainChunks | ZstChunks:
    """Return the chunks of the file *fd*, which they now own; SourceError if it cannot be a recording."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise SourceError(f"{path} is not a file", _NO_RECORDING)
    try:
        head = os.pread(fd, _HEAD_BYTES, 0)
    except OSError as error:
        os.close(fd)
        raise SourceError(f"cannot read {path}: {error.strerror}", "`dmesg` shows what its disk reported") from error
    if not head:
        os.close(fd)
        raise SourceError(f"{path} is empty", _NO_RECORDING)
    if head.startswith(b"\x1f\x8b"):
        os.close(fd)
        raise SourceError(f"{path} is compressed with gzip", f"`zcat {path} | ebpftop replay -` shows it")
    if zstd_frames.MARK in head:
        return ZstChunks(fd)
    # Damage at the start of a plain file may look like a frame, of which nothing can be unpacked.
    if not head.startswith(zstd_frames.MAGIC) or not zstd_frames.unpack(head, 0, _SAMPLE_BYTES).data:
        return PlainChunks(fd)
    try:
        return ZstChunks(_spool(fd, damage))
    except OSError as error:
        raise SourceError(
            f"{path} was compressed by another program and has to be unpacked to move in it: {error.strerror}",
            f"`zstdcat {path} | ebpftop replay -` shows it",
        ) from error
    finally:
        os.close(fd)


def _read_header(chunks: PlainChunks | ZstChunks, path: str, damage: ReadErrors) -> Header:
    """Return the header, or a substitute if it is damaged; SourceError if there is no record."""
    for number in range(min(chunks.stop, _SEARCHED_CHUNKS)):
        header = header_of(chunks.load(number), damage)
        if header is not None:
            return header
    chunks.close()
    raise SourceError(f"{path} is not a recording of ebpftop", _NO_RECORDING)


def header_of(chunk: Chunk, damage: ReadErrors) -> Header | None:
    """Return the header in *chunk*, or one made from its first record; None if it has no record at all.

    Its `schema` is 0 if the header is missing, or does not say it: then lines may be of schema 1.
    """
    for line in chunk.data.split(b"\n", 64):
        if kind_of(line) == b"header" and (header := _loose_header(line)) is not None:
            note_schema(header, damage)
            return header
    for record in read_lines(schema1.upgrade(chunk.data), _pass_over, _pass_over):
        if isinstance(record, Foreign):
            continue
        time = record.started if isinstance(record, Header) else record.time
        damage.note("the header is missing: host and kernel are not known")
        return Header(schema=0, version="", host="unknown host", kernel="", abi="", started=time)
    return None


def note_schema(header: Header, damage: ReadErrors) -> None:
    """Add a message if the recording has a later schema."""
    if header.schema > SCHEMA:
        damage.note(
            f"written by ebpftop {header.version} in schema {header.schema}, of which this version, which knows schema "
            f"{SCHEMA}, shows what it can"
        )


class _LooseHeader(msgspec.Struct):
    """A header of any version: missing fields are unknown."""

    schema: int = 0
    version: str = ""
    host: str = "unknown host"
    kernel: str = ""
    abi: str = ""
    started: float = 0.0


def _loose_header(line: bytes) -> Header | None:
    try:
        loose = msgspec.json.decode(line, type=_LooseHeader)
    except (ValueError, RecursionError):
        return None
    return Header(
        schema=loose.schema,
        version=escape(loose.version),
        host=escape(loose.host),
        kernel=escape(loose.kernel),
        abi=escape(loose.abi),
        started=loose.started if 0 <= loose.started <= LAST_TIME else 0.0,
    )


def _spool(fd: int, damage: ReadErrors) -> int:
    """Rewrite the zstd file *fd* as marked frames into a temporary file without a name, and return its descriptor.

    One long frame, as `zstd FILE` writes it, can only be read from its start.
    """
    with tempfile.TemporaryFile() as spool:
        rest = bytearray()
        lines = 0
        for piece in _unpacked(fd, damage):
            # Search only the new piece: a line may come in millions of pieces.
            end = piece.rfind(b"\n") + 1
            if end:
                lines += _put(spool, bytes(rest) + piece[:end])
                rest = bytearray(piece[end:])
                continue
            rest += piece
            if len(rest) > MAX_LINE_BYTES:
                damage.add(ReadError(lines + 1, 1, "too long for a line"))
                rest = bytearray()
        if rest:
            _put(spool, bytes(rest))
        spool.flush()
        return os.dup(spool.fileno())


def _put(spool: BinaryIO, data: bytes) -> int:
    lines = data.count(b"\n")
    spool.write(zstd_frames.pack(data, lines, level=1))
    return lines


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


def _pass_over(*_: object) -> None:
    """Ignore faults here: they are counted when the recording is played."""
