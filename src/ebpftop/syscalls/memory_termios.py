"""The settings of a terminal in words, spelled as strace does. Layout and bits: include/uapi/asm-generic/termbits.h."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ebpftop.syscalls.flag_names import Words, flags, table

_TERMIOS = struct.Struct("=4I")
_INPUT = flags(
    "",
    "IGNBRK=1 BRKINT=2 IGNPAR=4 PARMRK=8 INPCK=0x10 ISTRIP=0x20 INLCR=0x40 IGNCR=0x80 ICRNL=0x100 IUCLC=0x200 "
    "IXON=0x400 IXANY=0x800 IXOFF=0x1000 IMAXBEL=0x2000 IUTF8=0x4000",
)
_DELAYS = (
    Words(0x100, table("NL", "0=0 1=0x100")),
    Words(0x600, table("CR", "0=0 1=0x200 2=0x400 3=0x600")),
    Words(0x1800, table("TAB", "0=0 1=0x800 2=0x1000 3=0x1800")),
    Words(0x2000, table("BS", "0=0 1=0x2000")),
    Words(0x4000, table("VT", "0=0 1=0x4000")),
    Words(0x8000, table("FF", "0=0 1=0x8000")),
)
_OUTPUT = flags("", "OPOST=1 OLCUC=2 ONLCR=4 OCRNL=8 ONOCR=0x10 ONLRET=0x20 OFILL=0x40 OFDEL=0x80")
_BAUD = table(
    "B",
    "0=0 50 75 110 134 150 200 300 600 1200 1800 2400 4800 9600 19200 38400 57600=0x1001 115200 230400 460800 500000 "
    "576000 921600 1000000 1152000 1500000 2000000 2500000 3000000 3500000 4000000",
)
_SIZES = table("CS", "5=0 6=0x10 7=0x20 8=0x30")
_CONTROL = flags(
    "", "CSTOPB=0x40 CREAD=0x80 PARENB=0x100 PARODD=0x200 HUPCL=0x400 CLOCAL=0x800 CMSPAR=0x40000000 CRTSCTS=0x80000000"
)
_LOCAL = flags(
    "",
    "ISIG=1 ICANON=2 ECHO=8 ECHOE=0x10 ECHOK=0x20 ECHONL=0x40 NOFLSH=0x80 TOSTOP=0x100 IEXTEN=0x8000 XCASE=4 "
    "ECHOCTL=0x200 ECHOPRT=0x400 ECHOKE=0x800 FLUSHO=0x1000 PENDIN=0x4000 EXTPROC=0x10000",
)
_CBAUD, _CSIZE, _DELAY_BITS = 0x100F, 0x30, 0xFF00


def termios(pieces: Mapping[int, tuple[bytes, int]]) -> str:
    """Show struct termios."""
    input_, output, control, local = _TERMIOS.unpack(pieces[0][0].ljust(_TERMIOS.size, b"\0")[: _TERMIOS.size])
    delays = [words.choices.get(output & words.mask, "?") for words in _DELAYS]
    rest = control & ~(_CBAUD | _CSIZE)
    lines = [_BAUD.get(control & _CBAUD, hex(control & _CBAUD)), _SIZES[control & _CSIZE]]
    outputs = [_OUTPUT(output & ~_DELAY_BITS)] if output & ~_DELAY_BITS else []
    return (
        f"{{c_iflag={_INPUT(input_)}, c_oflag={'|'.join([*delays, *outputs])}, "
        f"c_cflag={'|'.join([*lines, *([_CONTROL(rest)] if rest else [])])}, c_lflag={_LOCAL(local)}, ...}}"
    )
