"""Lines of many hosts in one pipe: `host: {json}` as clush and pdsh print them, or the field `host` in each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

NAME_MAX = 253
"""Characters of a name in the DNS."""

_NAME = re.compile(rb"[A-Za-z0-9_.@%\[\]:-]{1,253}")
_EXITED = re.compile(rb"(?:clush|pdsh@\S+): (\S+): (?:ssh )?exited with exit code (\d+)")
_PROGRAM = re.compile(rb"ssh|sudo|sh|bash|dash|ksh|zsh|clush|pdsh@\S+|ebpftop|kex_exchange_identification|Warning")
"""What begins its own messages: no label is in front of them."""
_OF_SSH = re.compile(rb"ssh: (?:connect to host|Could not resolve hostname) (\S+?):? ")
_HOST_FIELD = re.compile(rb'\{"kind": ?"[a-z_]+", ?"host": ?"([^"\\]{1,253})"')


class _Who(msgspec.Struct):
    host: str = ""


_who = msgspec.json.Decoder(_Who)


class Labelled(NamedTuple):
    """What one piece of the pipe has of one host: whole lines of JSON, and other text with its exit status if known."""

    host: str
    lines: bytes = b""
    text: bytes = b""
    status: int | None = None


def labelled(lines: bytes) -> Iterator[Labelled | None]:
    """Yield what *lines*, whole ones, have of each host, in the order of the hosts; None for each line of no host."""
    records: dict[bytes, list[bytes]] = {}
    for line in lines.split(b"\n"):
        if line[:1] == b"{":
            name = _of_field(line)
            rest = line
        else:
            name, _, rest = line.partition(b": ")
        if rest[:1] == b"{" and name:
            found = records.get(name)
            if found is not None:
                found.append(rest)
            elif _NAME.fullmatch(name):
                records[name] = [rest]
            else:
                yield None
        elif line.strip():
            yield _other(line, name, rest)
    for name, found in records.items():
        found.append(b"")
        yield Labelled(name.decode("ascii"), b"\n".join(found))


def _of_field(line: bytes) -> bytes:
    if (match := _HOST_FIELD.match(line)) is not None:
        return match[1]
    try:
        return _who.decode(line).host.encode()
    except (ValueError, RecursionError):
        return b""


def _other(line: bytes, name: bytes, rest: bytes) -> Labelled | None:
    """Return what a line without a record says of a host; None: it is of no host."""
    if (match := _EXITED.match(line)) is not None and _NAME.fullmatch(match[1]):
        return Labelled(match[1].decode("ascii"), status=int(match[2][:3]))
    if _PROGRAM.fullmatch(name):
        match = _OF_SSH.match(line)
        return (
            Labelled(match[1].decode("ascii"), text=line) if match is not None and _NAME.fullmatch(match[1]) else None
        )
    if rest and _NAME.fullmatch(name):
        return Labelled(name.decode("ascii"), text=rest)
    return None
