"""Records as lines of JSON: what a recording and a stream are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

import msgspec

from ebpftop.core.records import Record, TimedRecord


class Foreign(TimedRecord, frozen=True, kw_only=True, tag=""):
    """A line of a kind that nothing here knows: recordings keep it as it is. Its text is not escaped: never show it."""

    line: bytes


_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """Return one JSON line, without its newline."""
    return record.line if isinstance(record, Foreign) else _encoder.encode(record)


class _KindOnly(msgspec.Struct):
    kind: str
    time: object = None


_kind_decoder = msgspec.json.Decoder(_KindOnly)


class Decoder:
    """Reads lines as records of the kinds that it is given."""

    def __init__(self, types: Iterable[type[Record]]) -> None:
        types = tuple(types)
        self.kinds = frozenset(str(kind.__struct_config__.tag) for kind in types)
        self._decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Union[types])  # noqa: UP007  # not known to mypy

    def decode_all(self, lines: bytes) -> list[Record]:
        """Return the records of *lines*, one per line. Raises ValueError (msgspec's) if one is not of a known kind."""
        return self._decoder.decode_lines(lines)

    def decode(self, line: bytes | str) -> Record:
        """Return the record of one line, a `Foreign` one for a kind that is not known.

        Raises ValueError (msgspec's) for a line that is not a record.
        """
        try:
            return self._decoder.decode(line)
        except msgspec.ValidationError:
            found = _kind_decoder.decode(line)
            if found.kind in self.kinds:
                raise
            time = float(found.time) if isinstance(found.time, (int, float)) else 0.0
            return Foreign(time=time, line=line.encode() if isinstance(line, str) else line)
