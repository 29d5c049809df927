"""Lines of several hosts in one stream or file: who wrote a line, and the lines of one host alone.

`ebpftop stream --host-field` writes the host into each line, behind its kind. A line without that field is of the host
of the header before it. Processes are only known by pid and start, so records of two hosts must never meet in one
model.
"""

from __future__ import annotations

import re

import msgspec

from ebpftop.core.escape import escape
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import Record
from ebpftop.core.source import SourceError

# A quote inside a text is escaped: this is a name, or a whole text.
_NAME = b'"host"'
# As `add_host` writes it.
_OURS = re.compile(rb'\{"kind": ?"([a-z_]+)", ?"host": ?("(?:[^"\\]|\\.)*")')
_MOST_NAMES = 64
_SHOWN_NAMES = 5
# No line of a record is longer (recording/parse.py), and a name of a host has 253 characters at most.
_LINE_BYTES = 4 << 20
_HOST_CHARS = 1 << 10


def add_host(line: bytes, record: Record, host: str) -> bytes:
    """Return the *line* of *record*, with the name of the *host*; as it is if its kind has a field of that name."""
    if isinstance(record, Foreign) or "host" in record.__struct_fields__:
        return line
    # What tells the kind comes first, and is never the only field.
    at = line.index(b",")
    return b'%b,"host":%b%b' % (line[:at], msgspec.json.encode(host), line[at:])


class _Who(msgspec.Struct):
    kind: str = ""
    host: str = ""


_decoder = msgspec.json.Decoder(_Who)


class OneHost:
    """Leaves the lines of one host, and makes those of all others blank: so lines keep their numbers.

    `host` is the one that was *asked* for; else the first that a line names, None until then. `others` are those whose
    lines were left out, made safe to show. One instance is for one input. *in_order*: it gets all lines once, one after
    the other; else any part of a file may come, but its beginning first.
    """

    def __init__(self, asked: str | None, *, in_order: bool) -> None:
        self.host = asked
        self.others: dict[str, None] = {}
        self._asked = asked
        self._in_order = in_order
        self._of_header: str | None = None
        self._has_fields = False

    def lines_of(self, lines: bytes) -> bytes:
        """Return *lines*, whole lines, without those of other hosts."""
        if self._is_alone(lines):
            return lines
        return b"\n".join([line if self._is_ours(line) else b"" for line in lines.split(b"\n")])

    def refuse_others(self, name: str) -> None:
        """Raise SourceError if *name*, a file or a stream, has lines of other hosts, and none was asked for."""
        if not self.others or self._asked is not None:
            return
        raise several_hosts(name, [escape(self.host or ""), *self.others], say_so=self._has_fields)

    def not_found(self, name: str) -> SourceError | None:
        """Return the error that no line of *name* is of the host that was asked for; None if none was."""
        if self._asked is None:
            return None
        known = f"it has those of {_listed([*self.others])}" if self.others else "it does not say whose they are"
        return SourceError(f"{name} has no records of host {self._asked}", known)

    def left_out_text(self) -> str:
        """Return what to report of the others, unless one was asked for; empty if there are none."""
        if not self.others or self._asked is not None:
            return ""
        return f"records of {_listed([*self.others])} left out: --host NAME shows those of another host"

    def _is_alone(self, lines: bytes) -> bool:
        """Whether all *lines* are certainly of our host: quickly, since nearly always they are."""
        if self._of_header != self.host and (self._of_header is not None or self._asked is not None):
            return False  # lines without a name are not ours
        named = lines.count(_NAME)
        if not named:
            return True
        if self.host is None:
            return False
        self._has_fields = self._has_fields or _OURS.search(lines) is not None
        return named == lines.count(b'"host":%b' % msgspec.json.encode(self.host))

    def _is_ours(self, line: bytes) -> bool:
        kind, host = _who(line) if _NAME in line else ("", "")
        if kind == "header" and host and (self._in_order or self._of_header is None):
            self._of_header = host
        self._has_fields |= bool(host) and kind != "header"
        host = host or self._of_header or ""
        if not host:
            return self._asked is None
        if self.host is None:
            self.host = host
        if host == self.host:
            return True
        if len(self.others) < _MOST_NAMES:
            self.others[escape(host)[:_HOST_CHARS]] = None
        return False


class SeveralHosts(SourceError):
    """There are records of several hosts, and none of them was asked for."""


def several_hosts(name: str, hosts: list[str], *, say_so: bool = True) -> SeveralHosts:
    """Return the error that *name* has records of these *hosts*. *say_so*: each record says whose it is."""
    remedy = f"--host {hosts[0]} is for one of them"
    if not say_so:
        remedy = "`ebpftop stream --host-field` says whose each record is, then --host NAME is for one of them"
    return SeveralHosts(f"{name} has records of several hosts: {_listed(hosts)}", remedy)


def _who(line: bytes) -> tuple[str, str]:
    """Return kind and host of a line; empty ones if it is not a record, or does not say so."""
    if (found := _OURS.match(line)) is not None:
        try:
            return found[1].decode(), msgspec.json.decode(found[2], type=str)
        except ValueError:
            return "", ""
    try:
        who = _decoder.decode(line) if len(line) <= _LINE_BYTES else _Who()
    except (ValueError, RecursionError):
        return "", ""
    return who.kind, who.host


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
