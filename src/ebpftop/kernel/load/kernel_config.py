"""How the running kernel was configured: the CONFIG_ macros that a program may test."""

from __future__ import annotations

import gzip
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_PLACES = (Path("/proc/config.gz"), Path(f"/boot/config-{os.uname().release}"))

# What programs test, if the kernel's configuration is nowhere to be read: true of every kernel for which ebpftop has
# programs, since 4.19.
_ALWAYS = (
    "CONFIG_BPF_SYSCALL",
    "CONFIG_64BIT",
    "CONFIG_SMP",
    "CONFIG_ARCH_HAS_SYSCALL_WRAPPER",
    "CONFIG_NET_NS",
    "CONFIG_SLUB",
)
_OF_MACHINE = {"x86_64": ("CONFIG_X86_64", "CONFIG_X86"), "aarch64": ("CONFIG_ARM64",)}


@cache
def of_running_kernel() -> Mapping[str, str]:
    """Return the value of each CONFIG_ macro, as include/generated/autoconf.h has it; a few if it cannot be read."""
    for place in _PLACES:
        try:
            data = place.read_bytes()
            return parse((gzip.decompress(data) if place.suffix == ".gz" else data).decode("utf-8", "replace"))
        except (OSError, EOFError):  # gzip.BadGzipFile is an OSError
            continue
    return dict.fromkeys((*_ALWAYS, *_OF_MACHINE.get(platform.machine(), ())), "1")


def parse(text: str) -> dict[str, str]:
    """Return the macros of a .config: y is 1, a module has _MODULE behind its name, what is off does not exist."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or not name.startswith("CONFIG_"):
            continue
        if value == "m":
            found[f"{name}_MODULE"] = "1"
        elif value != "n":
            found[name] = "1" if value == "y" else value
    return found
