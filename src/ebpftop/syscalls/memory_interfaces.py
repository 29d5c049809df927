"""What requests of ioctl and fcntl point to, as strace spells it: network interfaces, flags of files, owners."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from ebpftop.syscalls.memory_structs import bits, numbers
from ebpftop.syscalls.memory_words import address, printable

_Pieces = Mapping[int, tuple[bytes, int]]
_Words = Callable[[_Pieces], str]
_NAME_BYTES = 16  # IFNAMSIZ, include/uapi/linux/if.h
_SOCKADDR_BYTES = 16

_INTERFACE_FLAGS = (
    "UP BROADCAST DEBUG LOOPBACK POINTOPOINT NOTRAILERS RUNNING NOARP PROMISC ALLMULTI MASTER SLAVE MULTICAST PORTSEL "
    "AUTOMEDIA DYNAMIC"
)
_INTERFACE = {1 << bit: f"IFF_{name}" for bit, name in enumerate(_INTERFACE_FLAGS.split())}
_FILE = {
    **{0x1: "SECRM", 0x2: "UNRM", 0x4: "COMPR", 0x8: "SYNC", 0x10: "IMMUTABLE", 0x20: "APPEND", 0x40: "NODUMP"},
    **{0x80: "NOATIME", 0x100: "DIRTY", 0x200: "COMPRBLK", 0x400: "NOCOMP", 0x800: "ENCRYPT", 0x1000: "INDEX"},
    **{0x2000: "IMAGIC", 0x4000: "JOURNAL_DATA", 0x8000: "NOTAIL", 0x10000: "DIRSYNC", 0x20000: "TOPDIR"},
    **{0x40000: "HUGE_FILE", 0x80000: "EXTENT", 0x100000: "VERITY", 0x200000: "EA_INODE", 0x400000: "EOFBLOCKS"},
    **{0x800000: "NOCOW", 0x2000000: "DAX", 0x10000000: "INLINE_DATA", 0x20000000: "PROJINHERIT"},
    **{0x40000000: "CASEFOLD"},
}
_FILE_FLAGS = {bit: f"FS_{name}_FL" for bit, name in _FILE.items()}
_HARDWARE = {1: "ARPHRD_ETHER", 772: "ARPHRD_LOOPBACK"}  # include/uapi/linux/if_arp.h
_OWNERS = ("F_OWNER_TID", "F_OWNER_PID", "F_OWNER_PGRP")


def interface(field: str, words: _Words) -> _Words:
    """Return how struct ifreq reads: its name, and *field* behind it."""

    def show(pieces: _Pieces) -> str:
        raw, whole = pieces[0]
        return f"{{{_name(pieces)}, {field}={words({0: (raw[_NAME_BYTES:], whole - _NAME_BYTES)})}}}"

    return show


def interface_name(pieces: _Pieces) -> str:
    """Show struct ifreq of a request that failed, or that fills in nothing."""
    return f"{{{_name(pieces)}}}"


def interface_by_index(pieces: _Pieces) -> str:
    """Show struct ifreq of SIOCGIFNAME, which has asked by number."""
    return f"{{{_index(pieces)}, {_name(pieces)}}}"


def interface_index(pieces: _Pieces) -> str:
    """Show the same of a number that nothing has."""
    return f"{{{_index(pieces)}}}"


def _name(pieces: _Pieces) -> str:
    return f'ifr_name="{printable(pieces[0][0][:_NAME_BYTES].partition(bytes(1))[0])}"'


def _index(pieces: _Pieces) -> str:
    return f"ifr_ifindex={integer({0: (pieces[0][0][_NAME_BYTES:], 4)})}"


def integer(pieces: _Pieces) -> str:
    return str(numbers("=i", pieces)[0])


def interface_flags(pieces: _Pieces) -> str:
    return bits(numbers("=H", pieces)[0], _INTERFACE)


def socket_place(pieces: _Pieces) -> str:
    """Show struct sockaddr inside another structure."""
    return address(pieces[0][0][:_SOCKADDR_BYTES], _SOCKADDR_BYTES)


def hardware_address(pieces: _Pieces) -> str:
    """Show struct sockaddr with an address of the link."""
    (kind,) = numbers("=H", pieces)
    raw = pieces[0][0][2 : 8 if kind in _HARDWARE else _SOCKADDR_BYTES]
    named = _HARDWARE.get(kind, f"{kind:#x} /* ARPHRD_??? */")
    return f"{{sa_family={named}, sa_data={raw.hex(':')}}}"


def file_flags(pieces: _Pieces) -> str:
    """Show the flags of a file that chattr sets."""
    return f"[{bits(numbers('=I', pieces)[0], _FILE_FLAGS)}]"


def owner(pieces: _Pieces) -> str:
    """Show struct f_owner_ex."""
    kind, pid = struct.unpack("=Ii", pieces[0][0].ljust(8, b"\0")[:8])
    named = _OWNERS[kind] if kind < len(_OWNERS) else f"{kind:#x} /* F_OWNER_??? */"
    return f"{{type={named}, pid={pid}}}"
