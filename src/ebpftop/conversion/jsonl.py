"""JSON Lines: the records themselves, of a part of a recording, or of some kinds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import msgspec

from ebpftop.conversion.input import Input
from ebpftop.core.record_lines import Foreign, encode
from ebpftop.core.records import SCHEMA, End, Header, Record
from ebpftop.probes.registry import kind_of

_TOGETHER_BYTES = 256 << 10


class JsonLines:
    """A recording of *kinds*, of all if there are none. What it yields are whole lines."""

    def __init__(self, kinds: Collection[str] = ()) -> None:
        self._kinds = frozenset(kinds)
        self._count = 0
        self._last = 0.0

    def convert(self, source: Input) -> Iterator[bytes]:
        """Yield the lines of the header and the records."""
        begin = source.begin if source.is_part else source.header.begin
        lines = [encode(msgspec.structs.replace(source.header, schema=SCHEMA, begin=begin))]
        size = 0
        for record in source.records:
            if isinstance(record, Header) or (self._kinds and self._kind_of(record) not in self._kinds):
                continue
            line = encode(record)
            if not line.isascii() and isinstance(record, Foreign):  # nobody has looked whether it may be shown
                line = json.dumps(json.loads(line)).encode()
            lines.append(line)
            self._count += 1
            self._last = max(self._last, record.time)
            size += len(line)
            if size > _TOGETHER_BYTES:
                yield _text(lines)
                lines, size = [], 0
        if lines:
            yield _text(lines)

    def end(self, reason: str) -> bytes:
        """Return the last line of a recording that was closed."""
        return encode(End(time=self._last, records=self._count, reason=reason)) + b"\n"

    @staticmethod
    def _kind_of(record: Record) -> str:
        if isinstance(record, Foreign):
            found = msgspec.json.decode(record.line, type=_Kind)
            return found.kind
        return kind_of(type(record))


class _Kind(msgspec.Struct):
    kind: str


def _text(lines: list[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"
