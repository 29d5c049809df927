"""Structures of the kernel's interface in words, spelled as strace does. Layouts: include/uapi/linux/*.h, 64-bit."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping

from ebpftop.core.escape import escape
from ebpftop.syscalls.errno_names import error_name

_Piece = tuple[bytes, int]
_Pieces = Mapping[int, _Piece]
_SHOWN = 32
_ESCAPED = {ord('"'): '\\"', ord("\\"): "\\\\", 10: "\\n", 9: "\\t", 13: "\\r", 11: "\\v", 12: "\\f"}
_FAMILIES = {
    **{0: "AF_UNSPEC", 1: "AF_UNIX", 2: "AF_INET", 10: "AF_INET6", 16: "AF_NETLINK"},
    **{17: "AF_PACKET", 38: "AF_ALG", 40: "AF_VSOCK"},
}


def quoted(data: bytes, whole: int) -> str:
    """Return a buffer of *whole* bytes in quotes: its first 32 bytes, ``...`` if there are more."""
    shown = data[:_SHOWN]
    text = []
    for index, byte in enumerate(shown):
        if byte in _ESCAPED:
            text.append(_ESCAPED[byte])
        elif 32 <= byte < 127:
            text.append(chr(byte))
        else:
            # An octal number takes in a digit that follows, unless it has all three.
            following = shown[index + 1 : index + 2]
            text.append(f"\\{byte:03o}" if following.isdigit() and following < b"8" else f"\\{byte:o}")
    return f'"{"".join(text)}"' + ("..." if whole > _SHOWN else "")


def byte_string(pieces: _Pieces) -> str:
    return quoted(*pieces[0])


def hexadecimal_bytes(pieces: _Pieces) -> str:
    """Show random bytes, all as numbers."""
    data, whole = pieces[0]
    numbers = "".join(rf"\x{byte:02x}" for byte in data[:_SHOWN])
    return f'"{numbers}"' + ("..." if whole > _SHOWN else "")


def string(pieces: _Pieces) -> str:
    """Show a C string."""
    data, whole = pieces[0]
    return f'"{printable(data.partition(bytes(1))[0])}"' + ("..." if whole > len(data) else "")


def system_name(pieces: _Pieces) -> str:
    """Show the first two fields of struct utsname, as strace does."""
    raw = pieces[0][0]
    name, node = (raw[at : at + 65].partition(b"\0")[0] for at in (0, 65))
    return f'{{sysname="{printable(name)}", nodename="{printable(node)}", ...}}'


def number(pieces: _Pieces) -> str:
    """Show an int behind a pointer."""
    return f"[{int.from_bytes(pieces[0][0][:4], 'little', signed=True)}]"


def offset(pieces: _Pieces) -> str:
    """Show a 64-bit offset behind a pointer."""
    return f"[{int.from_bytes(pieces[0][0][:8], 'little', signed=True)}]"


def option(pieces: _Pieces) -> str:
    """Show an option of a socket: most are an int."""
    return number(pieces) if pieces[0][1] == 4 else quoted(*pieces[0])


def socket_error(pieces: _Pieces) -> str:
    """Show the error that a socket had."""
    code = int.from_bytes(pieces[0][0][:4], "little")
    return f"[{error_name(code) if 0 < code < 4096 else code}]"


def socket_address(pieces: _Pieces) -> str:
    """Show an address as struct sockaddr_in, _in6, _un, or _nl."""
    return address(*pieces[0])


def address(data: bytes, whole: int) -> str:
    """Return the address of *whole* bytes in words."""
    data = data[:whole]
    if len(data) < 2:
        return quoted(data, whole) if data else "NULL"
    (family,) = struct.unpack_from("=H", data)
    name = _FAMILIES.get(family, hex(family))
    if family == socket.AF_INET and len(data) >= 8:
        port, raw = struct.unpack_from("!H4s", data, 2)
        return f'{{sa_family={name}, sin_port=htons({port}), sin_addr=inet_addr("{socket.inet_ntoa(raw)}")}}'
    if family == socket.AF_INET6 and len(data) >= 24:
        port, flow, raw = struct.unpack_from("!HI16s", data, 2)
        scope = struct.unpack_from("=I", data, 24)[0] if len(data) >= 28 else 0
        place = socket.inet_ntop(socket.AF_INET6, raw)
        return (
            f"{{sa_family={name}, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), "
            f'inet_pton(AF_INET6, "{place}", &sin6_addr), sin6_scope_id={scope}}}'
        )
    if family == socket.AF_UNIX:
        path = data[2:]
        if len(path) < 2 and not path.strip(b"\0"):
            return f"{{sa_family={name}}}"
        return f"{{sa_family={name}, sun_path={'@' if path[0] == 0 else ''}{_path(path)}}}"
    if family == socket.AF_NETLINK and len(data) >= 12:
        pid, groups = struct.unpack_from("=II", data, 4)
        return f"{{sa_family={name}, nl_pid={pid}, nl_groups={groups:08x}}}"
    return f"{{sa_family={name}, sa_data={quoted(data[2:], len(data) - 2)}}}"


def _path(raw: bytes) -> str:
    raw = raw[1:] if raw[0] == 0 else raw.partition(b"\0")[0]
    return f'"{printable(raw)}"'


def printable(raw: bytes) -> str:
    """Return what is between the quotes of a string."""
    text = raw.decode("utf-8", "surrogateescape").translate({34: '\\"', 92: "\\\\"})
    return escape(text.encode("utf-8", "surrogateescape"))


def _two(pieces: _Pieces) -> tuple[int, int]:
    seconds, fraction = struct.unpack("=qq", pieces[0][0].ljust(16, b"\0")[:16])
    return seconds, fraction


def timespec(pieces: _Pieces) -> str:
    seconds, ns = _two(pieces)
    return f"{{tv_sec={seconds}, tv_nsec={ns}}}"


def timeval(pieces: _Pieces) -> str:
    seconds, us = _two(pieces)
    return f"{{tv_sec={seconds}, tv_usec={us}}}"


def rlimit(pieces: _Pieces) -> str:
    """Show soft and hard limit; multiples of 1024 as strace writes them."""
    soft, hard = (value & 2**64 - 1 for value in _two(pieces))
    return f"{{rlim_cur={_limit(soft)}, rlim_max={_limit(hard)}}}"


def _limit(value: int) -> str:
    if value == 2**64 - 1:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and value % 1024 == 0 else str(value)


def two_times(pieces: _Pieces) -> str:
    """Show the times that utimensat sets."""
    seconds, ns, more_seconds, more_ns = struct.unpack("=qqqq", pieces[0][0].ljust(32, b"\0")[:32])
    return f"[{_set_time(seconds, ns)}, {_set_time(more_seconds, more_ns)}]"


def _set_time(seconds: int, ns: int) -> str:
    named = {(1 << 30) - 1: "UTIME_NOW", (1 << 30) - 2: "UTIME_OMIT"}.get(ns)
    return named or f"{{tv_sec={seconds}, tv_nsec={ns}}}{_date(seconds, ns)}"


def _date(seconds: int, ns: int) -> str:
    """Return the time of day as a comment, in the time zone here."""
    try:
        at = time.localtime(seconds)
    except (OverflowError, ValueError, OSError):
        return ""
    if not (seconds or ns):
        return ""
    fraction = f".{ns:09}" if ns else ""
    return f" /* {time.strftime('%Y-%m-%dT%H:%M:%S', at)}{fraction}{time.strftime('%z', at)} */"


def window_size(pieces: _Pieces) -> str:
    """Show struct winsize."""
    rows, columns, width, height = struct.unpack("=HHHH", pieces[0][0].ljust(8, b"\0")[:8])
    return f"{{ws_row={rows}, ws_col={columns}, ws_xpixel={width}, ws_ypixel={height}}}"


def process_times(pieces: _Pieces) -> str:
    """Show struct tms, in ticks."""
    user, system, children_user, children_system = struct.unpack("=qqqq", pieces[0][0].ljust(32, b"\0")[:32])
    return f"{{tms_utime={user}, tms_stime={system}, tms_cutime={children_user}, tms_cstime={children_system}}}"
