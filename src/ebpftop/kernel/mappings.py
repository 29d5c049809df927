"""What a process has mapped, by /proc/PID/maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Mapping(NamedTuple):
    """A piece of a process's memory with code in it."""

    begin: int
    end: int
    offset: int  # in the file
    device: bytes
    inode: int  # 0: no file
    path: bytes


def mappings_of(content: bytes) -> list[Mapping]:
    r"""Return the mappings that may be executed, of the *content* of /proc/PID/maps.

    >>> mappings_of(b"55d0-55e0 r-xp 00001000 08:01 42    /usr/bin/a b\n55e0-55f0 rw-p 00000000 00:00 0 \nnonsense\n")
    [Mapping(begin=21968, end=21984, offset=4096, device=b'08:01', inode=42, path=b'/usr/bin/a b')]
    """
    found = []
    for line in content.split(b"\n"):
        parts = line.split(None, 5)
        if len(parts) < 5 or b"x" not in parts[1]:
            continue
        begin, _, end = parts[0].partition(b"-")
        try:
            found.append(
                Mapping(
                    int(begin, 16),
                    int(end, 16),
                    int(parts[2], 16),
                    parts[3],
                    int(parts[4]),
                    parts[5] if len(parts) > 5 else b"",
                )
            )
        except ValueError:
            continue
    return found


def mapping_at(mappings: Sequence[Mapping], address: int) -> Mapping | None:
    """Return the one that *address* lies in."""
    return next((one for one in mappings if one.begin <= address < one.end), None)
