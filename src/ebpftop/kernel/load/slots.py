"""The slots of arrays of programs: filled at each load, by name."""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Mapping

from ebpftop.kernel import maps as bpf_maps
from ebpftop.kernel.load.generation import Generation
from ebpftop.kernel.load.maps import PROG_ARRAY
from ebpftop.kernel.load.source import Source
from ebpftop.kernel.maps import Map
from ebpftop.syscalls import abi as abis


def index_of(text: str) -> int | None:
    """Return the index that *text* means: a number, or the name of a system call of this machine; None if neither."""
    if text.isascii() and text.isdigit():
        return int(text)
    return abis.number(abis.native_abi(platform.machine()), text)


class Slots:
    """Which program is to be in which slot. One that was set on the screen wins until the file says something new."""

    def __init__(self) -> None:
        self._hints: dict[str, dict[str, str]] = {}
        self._by_hand: dict[tuple[str, int], str | None] = {}
        self._filled: dict[str, dict[int, str]] = {}

    def of(self, name: str) -> Mapping[int, str]:
        """Return what is in the slots of a map now."""
        return dict(self._filled.get(name, {}))

    def fill(self, source: Source, new: Generation) -> dict[str, str]:
        """Fill the slots of *new*; return why one stays empty, by "map[index]"."""
        hints = {name: dict(slots) for name, slots in source.slots.items()}
        for name, slots in hints.items():
            before = self._hints.get(name, {})
            for text in slots.keys() | before.keys():
                if slots.get(text) != before.get(text) and (index := index_of(text)) is not None:
                    self._by_hand.pop((name, index), None)
        self._hints = hints
        self._filled = {}
        errors: dict[str, str] = {}
        asked: dict[tuple[str, int], str | None] = {}
        written: dict[tuple[str, int], str] = {}
        for name, slots in hints.items():
            for text, function in slots.items():
                index = index_of(text)
                if index is None:
                    errors[f"{name}[{text}]"] = "neither a number nor a system call of this machine"
                else:
                    asked[name, index], written[name, index] = function, text
        for (name, index), program in (asked | self._by_hand).items():
            if program is None:
                continue
            slot = f"{name}[{written.get((name, index), index)}]"
            try:
                self._put(new, name, index, program)
            except KeyError as error:
                errors[slot] = str(error.args[0])
            except OSError as error:
                errors[slot] = _refusal(error, new.maps[name].info.max_entries)
        return errors

    def set(self, now: Generation, name: str, index: int, program: str | None) -> None:
        """Put a program into a slot, or empty it. Raises OSError, KeyError."""
        if program is not None:
            self._put(now, name, index, program)
        else:
            one = now.maps[name]
            bpf_maps.delete(Map(one.fd, one.info.max_entries), struct.pack("=I", index))
            self._filled.get(name, {}).pop(index, None)
        self._by_hand[name, index] = program

    def _put(self, now: Generation, name: str, index: int, program: str) -> None:
        one = now.maps.get(name)
        if one is None or one.info.type != PROG_ARRAY:
            raise KeyError(f"there is no array of programs {name}")
        found = now.named(program)
        if found is None or found.fd is None:
            raise KeyError(f"there is no program {program}")
        bpf_maps.update(Map(one.fd, one.info.max_entries), struct.pack("=I", index), struct.pack("=i", found.fd))
        self._filled.setdefault(name, {})[index] = found.name


def _refusal(error: OSError, slots: int) -> str:
    """Return why the kernel put no program into a slot of an array of so many (kernel/bpf/arraymap.c)."""
    if error.errno == errno.E2BIG:
        return f"the map has the slots 0 to {slots - 1}"
    if error.errno == errno.EINVAL:
        return "it is a program of another type than those that call it"
    return os.strerror(error.errno or 0)
