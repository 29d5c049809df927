"""Records as no kernel makes them: every field of every kind drawn at random from what its type allows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import inspect

from ebpftop.core.process_records import Exec, Exit, Process
from ebpftop.core.record_lines import encode
from ebpftop.core.records import SCHEMA, End, Header, Record
from ebpftop.core.syscall_records import Syscall
from ebpftop.core.trace_records import Trace
from ebpftop.probes.registry import registry

START = 1_700_000_000.0

CANARY = b"]0;PWNED"
"""After an ESC, or as the C1 control, this in what is painted is a text that reached the terminal raw."""

_WORDS = (
    *("", " ", "a", "bash", "kworker/0:1", "-", "0", "-1", "true\tfalse", "line\nline", "\r", "\x00", "\x7f", "\\"),
    *("\x1b]0;PWNED\x07", "\x9d0;PWNED\x9c", "\x1b[2J\x1b[H", "\x1b[?1049l", "\x1bP\x1b\\", "\x9b31m", "\\x1b"),
    *("[red]red[/]", "[@click=app.quit]Q[/]", "[/]", "[a=", "[[", "]", "$error", "{0}", "%s", "[bold", "[link=x]y[/]"),
    # Wide, joined, combined, right to left, invisible, half of a flag.
    *("\uff41\uff42\uff43", "\u65e5\u672c\u8a9e", "\U0001f469\u200d\U0001f467", "e\u0301\u0301\u0301", "\u202eevil"),
    *("\u200b", "\ufeff", "\u3164", "\u2800", "\u034f", "\ufffd", "\U0001f1e9"),
    *("=1+1", "+1", "@SUM(A1)", "x" * 300, "\u65e5" * 120, "a " * 200, "/" * 80, "(a+)+$", "*", "..", "/proc/self"),
)
_INTEGERS = (0, 1, -1, 2, 39, 255, 4095, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, -(2**63), 10**12)
_FLOATS = (0.0, 1.0, -1.0, 1e-9, 0.5, 100.0, 1e15, 1e300, -1e300)
_LENGTHS = ((0, 1, 2, 3, 5, 12, 64), (0, 1, 2, 5), (0, 1), (0,))
"""Of what a record holds, of what is in that, and so on."""
_WEIGHTS: dict[type, float] = {Exec: 6, Exit: 4, Process: 2, Trace: 4, Syscall: 3, End: 0.1}


class Hostile:
    """A source of records; the same *seed* draws the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.time = START
        self._depth = 0
        self._named: dict[str, Callable[[], Any]] = {
            "time": self._time,
            "pid": self._pid,
            "ppid": self._pid,
            "tid": self._pid,
            "start_ns": lambda: self.random.choice((0, 10_000_000, 12_345_678_901, *_INTEGERS)),
            "removed": self._removed,
            "uid": lambda: self.random.choice((0, 0, 1000, 1001, *_INTEGERS)),
            "nr": lambda: self.random.choice((0, 1, 39, 59, 257, *_INTEGERS)),
            "ret": lambda: self.random.choice((0, 0, 0, -2, -13, *_INTEGERS)),
        }
        self._kinds = [kind for kind in registry().kinds.values() if kind is not Header]
        self._weights = [_WEIGHTS.get(kind, 1) for kind in self._kinds]

    def text(self) -> str:
        """Draw a text."""
        draw = self.random.random()
        if draw < 0.7:
            return self.random.choice(_WORDS)
        if draw < 0.9:
            return "".join(self.random.choices(_WORDS, k=3))
        return "".join(chr(self._character()) for _ in range(self.random.randrange(20)))

    def record(self) -> Record:
        """Draw a record; time goes on with it."""
        self.time += self.random.expovariate(60)
        record: Record = self._struct(self.random.choices(self._kinds, self._weights)[0])
        return record

    def _character(self) -> int:
        point = self.random.choice((self.random.randrange(0x300), self.random.randrange(0x11_0000)))
        return 0xFFFD if 0xD800 <= point < 0xE000 else point

    def _time(self) -> float:
        draw = self.random.random()
        if draw < 0.9:
            return self.time - self.random.random()
        return self.random.choice((self.time + 10, self.time - 100, self.time + 5000, 0.0, 1.0, 253402300799.0))

    def _removed(self) -> dict[str, tuple[tuple[str | int, ...], ...]]:
        """Draw keys of rows that are there, that never were, and that cannot be."""
        names = ("rows", "users", "in_flight", "processes", "process_totals", "table", "nothing")
        keys: tuple[tuple[str | int, ...], ...] = ((0,), (1000,), ("x86_64", 0), (7, 7), (), ("a",), (1, 2, 3, 4, 5))
        drawn = (self.random.sample(keys, self.random.randrange(len(keys))) for _ in names)
        return {name: tuple(some) for name, some in zip(names, drawn, strict=True) if some}

    def _pid(self) -> int:
        return self.random.randrange(1, 40) if self.random.random() < 0.9 else self.random.choice(_INTEGERS)

    def _struct(self, kind: type) -> Any:
        known = inspect.type_info(kind)
        assert isinstance(known, inspect.StructType)
        self._depth += 1
        try:
            return kind(**{field.name: self._field(field) for field in known.fields})
        finally:
            self._depth -= 1

    def _field(self, field: inspect.Field) -> Any:
        named = self._named.get(field.name)
        return named() if named else self._value(field.type)

    def _value(self, kind: inspect.Type) -> Any:
        match kind:
            case inspect.IntType():
                return self.random.choice(_INTEGERS)
            case inspect.FloatType():
                return self.random.choice(_FLOATS)
            case inspect.BoolType():
                return self.random.random() < 0.5
            case inspect.StrType():
                return self.text()
            case inspect.NoneType():
                return None
            case inspect.LiteralType():
                return self.random.choice(kind.values)
            case inspect.UnionType():
                return self._value(self.random.choice(kind.types))
            case inspect.VarTupleType():
                return tuple(self._value(kind.item_type) for _ in range(self._length()))
            case inspect.TupleType():
                return tuple(self._value(item) for item in kind.item_types)
            case inspect.DictType():
                return {self._value(kind.key_type): self._value(kind.value_type) for _ in range(self._length())}
            case inspect.StructType():
                return self._struct(kind.cls)
            case inspect.CustomType(cls=cls) if cls is object:
                return self._anything()
            case _:
                raise NotImplementedError(kind)

    def _anything(self, depth: int = 0) -> Any:
        """Draw what JSON can hold: values of a map, members of an event."""
        kind = self.random.randrange(7 if depth < 3 else 5)
        if kind == 5:
            return [self._anything(depth + 1) for _ in range(self.random.randrange(4))]
        if kind == 6:
            return {self.text(): self._anything(depth + 1) for _ in range(self.random.randrange(4))}
        return self.random.choice((None, True, self.random.choice(_INTEGERS), self.random.choice(_FLOATS), self.text()))

    def _length(self) -> int:
        # A field of a struct is a struct with fields: there an end has to come.
        return self.random.choice(_LENGTHS[min(self._depth, len(_LENGTHS)) - 1])


def hostile_records(seed: int, count: int) -> Iterator[Record]:
    """Yield a header and *count* records after it."""
    hostile = Hostile(seed)
    yield Header(
        schema=SCHEMA,
        version="1",
        host=hostile.text(),
        kernel=hostile.text(),
        abi="x86_64",
        started=START,
        filter=(hostile.text(),),
    )
    for _ in range(count):
        yield hostile.record()


def write_hostile(path: Path, seed: int, count: int) -> Path:
    """Write them as a recording; return its path."""
    path.write_bytes(b"".join(encode(record) + b"\n" for record in hostile_records(seed, count)))
    return path
