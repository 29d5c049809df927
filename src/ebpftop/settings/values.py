"""What the values of options and settings may be: each function reads one, or says what it may be.

They raise argparse.ArgumentTypeError, which argparse and the settings report with the name in front.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from typing import TYPE_CHECKING

from ebpftop.core.records import ProbeName
from ebpftop.filters.spec import COMM_BYTES, UID_MAX, comm_bytes, is_cgroup_path
from ebpftop.probes.registry import LOAD, registry

if TYPE_CHECKING:
    from ebpftop.serving.address import Address


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero")
    return value


def interval(text: str) -> float:
    value = seconds(text)
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.05 and 3600 seconds")
    return value


_UNITS_NS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_SPAN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m)")


def span_ns(text: str) -> int:
    """Return the nanoseconds of a duration with its unit; at least one."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration with its unit, as 10ms (ns us ms s m)")
    return max(1, round(float(found[1]) * _UNITS_NS[found[2]]))


_PART_SIZES = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PART_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART_LIMIT = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([A-Za-z]+)")
_PART_LEAST_BYTES = 100_000


def part_limit(text: str) -> tuple[int | None, float | None]:
    """Return the bytes, or the seconds, after which another part of a recording begins."""
    found = _PART_LIMIT.fullmatch(text)
    if found is not None and found[2] in _PART_SIZES:
        size = round(float(found[1]) * _PART_SIZES[found[2]])
        if size < _PART_LEAST_BYTES:
            raise argparse.ArgumentTypeError(f"{text} is less than 100kB")
        return size, None
    if found is not None and found[2] in _PART_TIMES:
        seconds = float(found[1]) * _PART_TIMES[found[2]]
        if seconds < 1:
            raise argparse.ArgumentTypeError(f"{text} is less than 1s")
        return None, seconds
    units = ", ".join((*_PART_SIZES, *_PART_TIMES))
    raise argparse.ArgumentTypeError(f"{text!r} is neither a size nor a time, as 100MB or 1h ({units})")


def queue_size(text: str) -> int:
    """Return bytes: ``64MB``."""
    found = _PART_LIMIT.fullmatch(text.strip())
    if found is None or found[2] not in _PART_SIZES or not 64_000 <= float(found[1]) * _PART_SIZES[found[2]] <= 1 << 40:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size of at least 64kB, as 500kB or 64MB")
    return round(float(found[1]) * _PART_SIZES[found[2]])


def kept_parts(text: str) -> int:
    if not _is_number(text) or not 2 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of parts, at least 2: the newest is being written")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Return names that are separated by commas."""
    chosen = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not chosen:
        raise argparse.ArgumentTypeError("no name is given")
    return chosen


def listen_address(text: str) -> Address:
    """Return where to listen."""
    from ebpftop.serving.address import parse_address

    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.5 <= value <= 1440:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.5 and 1440 minutes")
    return value


MIB_MAX = 65536


def mebibytes(text: str, least: int = 4) -> int:
    if not _is_number(text) or not least <= int(text) <= MIB_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {MIB_MAX} MiB")
    return int(text)


TRACE_LIMIT_MAX = 1_000_000


def per_second(text: str) -> int:
    """Take how many traced calls each CPU reports a second."""
    if not _is_number(text) or not 1 <= int(text) <= TRACE_LIMIT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to {TRACE_LIMIT_MAX}")
    return int(text)


def memory(text: str) -> int:
    return mebibytes(text, 32)


NO_ENVIRONMENT = ("none",)
"""`--env none`: not even names are read."""


def env(text: str) -> tuple[str, ...]:
    """Take names of environment variables, each maybe with an asterisk at its end, or ``all``, or ``none``."""
    names = tuple(dict.fromkeys(text.split(",")))
    if NO_ENVIRONMENT[0] in names and names != NO_ENVIRONMENT:
        raise argparse.ArgumentTypeError("none stands alone")
    for name in names:
        if not name.rstrip("*") or "=" in name or "*" in name[:-1]:
            raise argparse.ArgumentTypeError(f"{name!r} is not the name of a variable: HOME, LC_*, all or none")
    return names


def probes(text: str) -> tuple[ProbeName, ...]:
    return _probes(text, registry().names)


def probes_and_load(text: str) -> tuple[ProbeName, ...]:
    """Take names of probes, and that of the C file's (`--load`)."""
    return _probes(text, (*registry().names, LOAD))


def _probes(text: str, known: tuple[ProbeName, ...]) -> tuple[ProbeName, ...]:
    chosen = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        why = "".join(f" ({one})" for one in registry().disabled if one.name in unknown)
        what = f"{', '.join(map(repr, unknown))} is not a probe" if unknown else "no probe is named"
        raise argparse.ArgumentTypeError(f"{what}; choose from {','.join(known)}{why}")
    return tuple(name for name in known if name in chosen)


def _is_number(text: str) -> bool:
    """Is *text* a whole number of at most 64 bits? Python makes no number of more than 4,300 digits."""
    return text.isascii() and text.isdigit() and len(text.lstrip("0")) <= 20 and len(text) <= 100


def number(what: str, most: int) -> type[int]:
    class Number(int):
        def __new__(cls, text: str) -> Number:
            if not _is_number(text) or int(text) > most:
                raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
            return super().__new__(cls, text)

    return Number


def uid(text: str) -> int:
    """Parse a uid or the name of a user."""
    if _is_number(text) and int(text) <= UID_MAX:
        return int(text)
    from ebpftop.probes.user_names import uid_of

    uid = uid_of(text)
    if uid is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a uid nor a user of this machine")
    return uid


def comm(text: str) -> str:
    name = text.removesuffix("*")
    if not text:
        raise argparse.ArgumentTypeError("a command name cannot be empty")
    if "*" in name:
        raise argparse.ArgumentTypeError(f"{text!r}: a * may only stand at the end")
    raw = comm_bytes(text)
    if len(raw) > COMM_BYTES:
        # If the cut splits a character, the rest of it cannot be typed; a prefix can.
        prefix = raw[:COMM_BYTES].decode("utf-8", "ignore")
        name = prefix if len(prefix.encode()) == COMM_BYTES else f"{prefix}*"
        raise argparse.ArgumentTypeError(f"{text!r}: the kernel keeps {COMM_BYTES} bytes of a command name; use {name}")
    return text


def cgroup(text: str) -> str:
    if not is_cgroup_path(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the path of a cgroup: / is the root, and .. leads nowhere")
    return text


def new_file(text: str) -> str:
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a file; `ebpftop stream` writes to stdout")
    return text


def folder(text: str) -> str:
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return text


_HOST_BYTES = 253
"""Of a name in the DNS."""


def host(text: str) -> str:
    """Take the name of a machine: what is in its records, so nothing that would be escaped there."""
    if not text.strip() or not text.isprintable() or len(text.encode("utf-8", "replace")) > _HOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of a host, of 1 to {_HOST_BYTES} bytes that print")
    return text


def fleet_host(text: str) -> str:
    """Take what ssh calls a host, or - for stdin."""
    if text != "-" and text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text!r} is an option, not a host")
    if any(character.isspace() for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} has a blank in it")
    # What ssh takes for a name, and would look up.
    if found := re.fullmatch(r"([^:/]+):(\d+)", text):
        raise argparse.ArgumentTypeError(f"{text!r}: write ssh://{found[1]}:{found[2]} for a port")
    if re.search(r",|\w\[", text):
        raise argparse.ArgumentTypeError(f"{text!r} is several hosts: one for each word, or $(nodeset -e ..) of clush")
    return host(text)


def web_address(text: str) -> str:
    """Take the address of a web server."""
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s?#@]*)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address as http://host:9090")
    return text


def words(text: str) -> tuple[str, ...]:
    """Return the words of a command line, as a shell splits them."""
    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not found:
        raise argparse.ArgumentTypeError("it is empty")
    return found


def remote(text: str) -> str:
    """Take the beginning of a command line for a shell of another machine."""
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a command")
    return text


def container(text: str) -> str:
    if not text or "/" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a container id or name")
    return text


_OF_A_FILE = re.compile(r"[A-Za-z_]\w*=[a-z_]+:.+")


def attach_option_of_a_file(text: str) -> tuple[str, str]:
    """Return the attach option of a probe, or FUNCTION and EVENT of a C file, which is only read with the file."""
    function, _, event = text.partition("=")
    if _OF_A_FILE.fullmatch(text) and function not in registry().ladders:
        return function, event
    return attach_option(text)


def attach_option(text: str) -> tuple[str, str]:
    ladder, equals, option = text.partition("=")
    if not equals or not option:
        raise argparse.ArgumentTypeError(f"{text!r} is not PROBE=EVENT, as in execs=tracepoint (see `ebpftop check`)")
    ladders = registry().ladders
    if ladder not in ladders:
        raise argparse.ArgumentTypeError(
            f"there is no probe {ladder!r}, nor a part of one; choose from {', '.join(ladders)}"
        )
    return ladder, option


FASTEST = 100_000.0


def speed(text: str) -> float:
    """Return the speed that *text* names, 0 for "max"; ValueError if it is not a speed."""
    if text == "max":
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= FASTEST:
        raise ValueError(f"{text!r} is neither max nor a number from 0 to {FASTEST:.0f}")
    return value


def lesson(text: str) -> int:
    """Read the number of a lesson."""
    if text not in ("1", "2", "3", "4"):
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a lesson, 1 to 4")
    return int(text)
