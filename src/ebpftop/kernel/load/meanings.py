"""What the numbers of a program of one's own mean: by the names of members, or as the file says.

Names are those that tools for BPF use: `comm`, `pid`, `tgid`, `uid`, `saddr`, `dport`, `delta_ns`, `ret`, `stack_id`.
A hint of the file overrides them: ``// ebpftop: show counter.key=uid output.delay=ns``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, get_args

from ebpftop.core.load_records import FieldKind, Meaning

STRING: Final = "string"
"""The hint that bytes are text."""
BYTES: Final = "hex"
"""The hint that a number, or bytes, are shown in hexadecimal."""
NONE: Final = "number"
"""The hint that a number means nothing but itself."""

WORDS: Final = (*(word for word in get_args(Meaning) if word), STRING, NONE)
"""All that a hint may say."""

STEPS: Final = ("log2", "linear", "table")
"""What a hint may say of a whole map: how it is a histogram, or that it is none."""

_NUMBERS = frozenset(("int", "uint"))
_IP4_SIZE, _IP6_SIZE, _MAC_SIZE = 4, 16, 6

# In the order in which they are tried; of the name in small letters.
_BY_NAME: tuple[tuple[str, Meaning], ...] = (
    (r"(?:.*_)?(?:pid|tgid|ppid|ptgid|tpid|pid_tgid)", "pid"),
    (r"(?:.*_)?tid", "tid"),
    (r"(?:.*_)?(?:uid|euid|suid|ruid|loginuid)", "uid"),
    (r"(?:.*_)?(?:gid|egid)", "gid"),
    (r"(?:.*_)?(?:[sdl]?port|lport|sport|dport)", "port"),
    (r"(?:.*_)?(?:cpu|cpuid|cpu_id)", "cpu"),
    (r"(?:.*_)?(?:errno|error|err)", "errno"),
    (r"(?:.*_)?(?:ret|retval|retcode|rc)", "ret"),
    (r"(?:.*_)?(?:sysid|syscall|syscall_nr|syscall_id)", "syscall"),
    (r"(?:.*_)?(?:sig|signal|signum)", "signal"),
    (r"(?:.*_)?(?:stack|stackid|stack_id|kstack|ustack|kernel_stack_id|user_stack_id|kern_stackid)(?:_id)?", "stack"),
    (r"(?:.*_)?(?:ts|tstamp|timestamp|start_ts|start_time|start_ns|time_ns|ts_ns|ktime)", "time"),
    (r".*_ns|ns|(?:.*_)?(?:delta|latency|lat|delay|duration|dur|elapsed)", "ns"),
    (r"(?:.*_)?(?:ino|inode)", "inode"),
    (r"(?:.*_)?dev", "dev"),
    (r"(?:.*_)?(?:bytes|rbytes|wbytes|size|len|length|data_len|nbytes)", "bytes"),
    (r"slot", "slot"),
)
_COMPILED = tuple((re.compile(pattern), meaning) for pattern, meaning in _BY_NAME)
_ADDRESS = re.compile(r"(?:.*_)?(?:[sdl]?addr|ip|[sd]ip|raddr|[sd]?addr_?v?[46]|ip_?v?[46])")
_TEXTS = re.compile(r"(?:.*_)?(?:comm|command|cmd|task|name|str|string|text|msg|message|path|fname|filename|file|disk)")
_MAC = re.compile(r"(?:.*_)?(?:mac|[sd]mac|h_source|h_dest|hwaddr)")
# Steps other than nanoseconds are the program's own: what they are is in the name.
_OTHER_UNIT = re.compile(r".*_(?:us|ms|s|sec|usec|msec|secs|pages|pgs)")


def meaning_of(name: str, kind: FieldKind, size: int) -> Meaning:
    """Return what a member *name* means; of arrays of bytes too. Empty if its name says nothing."""
    name = name.lower()
    if _OTHER_UNIT.fullmatch(name):
        return ""
    if kind in _NUMBERS and size == _IP4_SIZE and _ADDRESS.fullmatch(name):
        return "ip4"
    if size == _IP6_SIZE and kind in ("bytes", "array") and _ADDRESS.fullmatch(name):
        return "ip6"
    if size == _MAC_SIZE and kind == "bytes" and _MAC.fullmatch(name):
        return "mac"
    if kind not in _NUMBERS:
        return ""
    return next((meaning for pattern, meaning in _COMPILED if pattern.fullmatch(name)), "")


def is_text(name: str) -> bool:
    """Return whether unsigned bytes called *name* are text: char arrays always are."""
    return _TEXTS.fullmatch(name.lower()) is not None


class Hints:
    """What the file says about the numbers of a map: ``counter.key=uid``, ``output.delay=ns``, ``m.value.a.b=hex``."""

    def __init__(self, shown: Mapping[str, str], map_name: str, side: str) -> None:
        """Use what *shown* says of the map *map_name*: *side* is ``key`` or ``value``; events have values."""
        self._at: dict[str, str] = {}
        for place, word in shown.items():
            name, _, path = place.partition(".")
            if name != map_name or word not in WORDS:
                continue
            first, _, rest = path.partition(".")
            if first == side:
                self._at[rest] = word
            elif side == "value" and first not in ("", "key"):
                self._at[path] = word

    def word(self, path: str) -> str | None:
        """Return what is said of the member at *path* (names with dots, empty for the whole); None: nothing."""
        return self._at.get(path)
