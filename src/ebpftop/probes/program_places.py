"""Where a program is attached, in words: from links, perf events, cgroups, and what it says itself."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping

from ebpftop.core.escape import escape
from ebpftop.kernel.bpf_holders import Holder
from ebpftop.kernel.bpf_names import attach_word
from ebpftop.kernel.bpf_objects import LinkFacts
from ebpftop.kernel.device_programs import DeviceProgram

Paths = Callable[[int], "str | None"]
"""The path of a cgroup by its id."""

AN_EVENT = "perf_event"
"""What a link of a perf event says before Linux 6.6."""
CGROUP_LINK = 3  # enum bpf_link_type

# enum bpf_perf_event_type
_PROBES = {1: "uprobe", 2: "uretprobe", 3: "kprobe", 4: "kretprobe"}
_TRACEPOINT, _EVENT = 5, 6
# enum bpf_task_fd_type
_HELD_TRACEPOINTS, _HELD_PROBES = (0, 1), {2: "kprobe", 3: "kretprobe", 4: "uprobe", 5: "uretprobe"}
# enum perf_type_id
_EVENT_TYPES = ("hardware", "software", "tracepoint", "hw_cache", "raw", "breakpoint")
_FAMILIES = {2: "ipv4", 10: "ipv6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def of_link(link: LinkFacts, function: str, cgroup: Paths) -> str:
    """Return what *link* attaches its program to; *function* is that of a program of tracing.

    What a newer kernel has besides is named by its number.
    """
    describe = _LINKS.get(link.type)
    if describe is None:
        return f"link type {link.type}"
    return describe(link, function, cgroup)


def of_holder(held: Holder) -> str:
    """Return what a perf event of a process attaches a program to; empty if it is not one."""
    name = escape(held.name)
    if held.kind in _HELD_TRACEPOINTS:
        return name
    if held.kind not in _HELD_PROBES:
        return ""
    return _probe(_HELD_PROBES[held.kind], name, held.offset, held.address)


def of_cgroup(attach_type: int, path: str) -> str:
    """Return where a program is in a cgroup."""
    return _cgroup_text(attach_word(attach_type), path)


def of_device(attached: DeviceProgram) -> str:
    """Return where a program is at a network device without a link."""
    device = escape(attached.device)
    return f"xdp {device}" if attached.hook == "xdp" else f"tc {device} {attached.hook}"


def _cgroup_text(word: str, path: str) -> str:
    # The type of the program says these two already.
    return f"cgroup {path}" + ("" if word in ("device", "sock_ops", "sysctl") else f" {word}")


def _probe(kind: str, name: str, offset: int, address: int) -> str:
    if not name:
        return f"{kind} {address:#x}" if address else kind
    if kind.startswith("u"):
        return f"{kind} {name}+{offset:#x}"
    return f"{kind} {name}+{offset:#x}" if offset else f"{kind} {name}"


def _numbers(link: LinkFacts, layout: str) -> tuple[int, ...]:
    return struct.unpack_from(layout, link.words)


def _raw_tracepoint(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    return escape(link.text)


def _tracing(link: LinkFacts, function: str, _cgroup: Paths) -> str:
    (kind,) = _numbers(link, "=I")
    word = attach_word(kind)
    # One of a raw tracepoint says its name alone, as those without BTF do.
    return function if word == "raw_tp" and function else f"{word} {function}".rstrip()


def _of_cgroup(link: LinkFacts, _function: str, cgroup: Paths) -> str:
    number, kind = _numbers(link, "=QI")
    return _cgroup_text(attach_word(kind), cgroup(number) or f"id {number}")


def _iter(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    return f"iter {escape(link.text)}".rstrip()


def _netns(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    inode, kind = _numbers(link, "=II")
    return f"netns {inode} {attach_word(kind)}"


def _xdp(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    (device,) = _numbers(link, "=I")
    return f"xdp {_device(device)}"


def _on_device(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    device, kind = _numbers(link, "=II")
    return f"{_LINK_WORDS[link.type]} {_device(device)} {attach_word(kind)}"


def _perf_event(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    (kind,) = _numbers(link, "=I")
    if kind in _PROBES:
        offset, address = _numbers(link, "=20xIQ")
        return _probe(_PROBES[kind], escape(link.text), offset, 0 if kind < 3 else address)
    if kind == _TRACEPOINT:
        return escape(link.text)
    if kind == _EVENT:
        config, number = _numbers(link, "=8xQI")
        word = _EVENT_TYPES[number] if number < len(_EVENT_TYPES) else f"type {number}"
        return f"perf {word} {config:#x}"
    return AN_EVENT


def _kprobe_multi(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    count, flags = _numbers(link, "=8xII")
    return f"{'kretprobe' if flags & 1 else 'kprobe'} of {count} functions"


def _uprobe_multi(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    count, flags = _numbers(link, "=36xII")
    return f"{'uretprobe' if flags & 1 else 'uprobe'} of {count} places in {escape(link.text)}"


def _of_map(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    (number,) = _numbers(link, "=I")
    return f"{_LINK_WORDS[link.type]} map {number}"


def _netfilter(link: LinkFacts, _function: str, _cgroup: Paths) -> str:
    family, hook = _numbers(link, "=II")
    word = _HOOKS[hook] if hook < len(_HOOKS) else f"hook {hook}"
    return f"netfilter {_FAMILIES.get(family, f'family {family}')} {word}"


_LINK_WORDS = {9: "struct_ops", 11: "tcx", 13: "netkit", 14: "sockmap"}
# enum bpf_link_type
_LINKS: Mapping[int, Callable[[LinkFacts, str, Paths], str]] = {
    1: _raw_tracepoint,
    2: _tracing,
    CGROUP_LINK: _of_cgroup,
    4: _iter,
    5: _netns,
    6: _xdp,
    7: _perf_event,
    8: _kprobe_multi,
    9: _of_map,
    10: _netfilter,
    11: _on_device,
    12: _uprobe_multi,
    13: _on_device,
    14: _of_map,
}


def _device(index: int) -> str:
    try:
        return escape(socket.if_indextoname(index))
    except OSError:  # another network namespace's
        return f"device {index}"
