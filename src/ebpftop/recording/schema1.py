"""Read recordings of schema 1 (ebpftop 0.1): give the fields the names that they have today.

Everything else in this package knows schema 2 only. Readings of schema 1 are all whole.
"""

from __future__ import annotations

import re

_NEW_NAMES = {
    b"start": b"start_ns",
    b"seconds": b"duration_s",
    b"since_boot": b"boot_ns",
    b"wanted": b"matched",
    b"forgotten": b"evicted",
    b"inside": b"ns_uid",
    b"rungs": b"attempts",
    b"ns": b"histogram_ns",
}
# A quote inside a text is escaped, so only a name can have one on both sides and a colon behind. `ns` of a traced call
# or of one in flight is a number, and keeps its name.
_OLD = re.compile(rb'"(start|seconds|since_boot|wanted|forgotten|inside|rungs|ns(?="\s*:\s*\[))"(?=\s*:)')


def upgrade(data: bytes) -> bytes:
    """Return *data*, whole lines of schema 1, as lines of schema 2. Lines of schema 2 stay as they are."""
    return _OLD.sub(lambda found: b'"' + _NEW_NAMES[found[1]] + b'"', data)
