"""Programs that are attached to network devices without a link (`ip link set .. xdp`, `tc filter`): rtnetlink(7).

Only the devices of our own network namespace are told.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_REPLY_MAX = 1 << 18
_TIMEOUT_S = 1.0
_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_TYPE_BITS = 0x3FFF
# include/uapi/linux/rtnetlink.h, if_link.h, pkt_cls.h
_GET_LINK, _GET_FILTER = 18, 46
_DEVICE = struct.Struct("=BxHiII")  # struct ifinfomsg
_FILTER = struct.Struct("=BxxxiIII")  # struct tcmsg: family, device, handle, parent, info
_NAME, _XDP, _XDP_IDS = 3, 43, (4, 5, 6, 7)
_KIND, _OPTIONS, _FILTER_ID = 1, 2, 11
_HOOKS = {0xFFFFFFF2: "ingress", 0xFFFFFFF3: "egress"}  # the two sides of the qdisc clsact


class DeviceProgram(NamedTuple):
    """A program by its id, at a device; `hook` is ``xdp``, ``ingress`` or ``egress``."""

    program: int
    device: bytes
    hook: str


def attached_to_devices(*, filters: bool) -> list[DeviceProgram]:
    """Return them, those of `tc` if *filters* are asked for too; raises OSError."""
    found: list[DeviceProgram] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as route:
        route.settimeout(_TIMEOUT_S)
        devices = []
        for message in _dump(route, _GET_LINK, _DEVICE.pack(0, 0, 0, 0, 0)):
            _, _, index, *_ = _DEVICE.unpack_from(message)
            attributes = dict(_attributes(message[_DEVICE.size :]))
            name = attributes.get(_NAME, b"").rstrip(b"\0")
            devices.append((index, name))
            found += (DeviceProgram(number, name, "xdp") for number in xdp_programs(attributes.get(_XDP, b"")))
        for index, name in devices if filters else ():
            for parent, hook in _HOOKS.items():
                try:
                    filters_there = list(_dump(route, _GET_FILTER, _FILTER.pack(0, index, 0, parent, 0)))
                except TimeoutError:  # an answer that comes late would be taken for the next one
                    raise
                except OSError:  # the device has just gone
                    continue
                numbers = (filter_program(message[_FILTER.size :]) for message in filters_there)
                found += (DeviceProgram(number, name, hook) for number in numbers if number)
    return list(dict.fromkeys(found))


def xdp_programs(nested: bytes) -> Iterator[int]:
    """Yield the programs in the attribute IFLA_XDP: a device may have one of each mode."""
    for kind, value in _attributes(nested):
        if kind in _XDP_IDS and len(value) == 4 and (number := _u32(value)):
            yield number


def filter_program(attributes: bytes) -> int:
    """Return the program of a filter; 0 if it has none."""
    of_filter = dict(_attributes(attributes))
    if of_filter.get(_KIND) != b"bpf\0":
        return 0
    value = dict(_attributes(of_filter.get(_OPTIONS, b""))).get(_FILTER_ID, b"")
    return _u32(value) if len(value) == 4 else 0


def _u32(value: bytes) -> int:
    return int(struct.unpack("=I", value)[0])


def _dump(route: socket.socket, kind: int, request: bytes) -> Iterator[bytes]:
    """Ask for all of a kind; yield the answers without their headers. Raises OSError."""
    route.send(_MESSAGE.pack(_MESSAGE.size + len(request), kind, _REQUEST_DUMP, kind, 0) + request)
    while True:
        reply = route.recv(_REPLY_MAX)
        at = 0
        while at + _MESSAGE.size <= len(reply):
            length, answer, *_ = _MESSAGE.unpack_from(reply, at)
            body = reply[at + _MESSAGE.size : at + length]
            if answer == _DONE:
                return
            if answer == _ERROR:
                raise OSError(-int(struct.unpack_from("=i", body)[0]), "rtnetlink")
            yield body
            at += max(_MESSAGE.size, length + 3 & ~3)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_BITS, data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
