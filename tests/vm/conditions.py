"""What is hidden from ebpftop while a trial runs: headers, BTF, both or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ebpftop.kernel.offsets import own_headers

from .results import Condition

_NO_HEADERS = ("mount -t tmpfs none /lib/modules", "mount -t tmpfs none /usr/src")
_NO_BTF = ("mount -t tmpfs none /sys/kernel/btf",)
BARE: Condition = "BTF, no headers"
WITH_HEADERS: Condition = "BTF and headers"
HEADERS_ONLY: Condition = "headers, no BTF"
NEITHER: Condition = "neither"
# Shell commands that hide it, for a mount namespace of its own.
CONDITIONS: Mapping[Condition, tuple[str, ...]] = MappingProxyType(
    {BARE: _NO_HEADERS, WITH_HEADERS: (), HEADERS_ONLY: _NO_BTF, NEITHER: (*_NO_HEADERS, *_NO_BTF)}
)


def possible() -> tuple[Condition, ...]:
    """Return the conditions that this guest can be put into: those with headers need headers."""
    return tuple(c for c in CONDITIONS if own_headers() or c in (BARE, NEITHER))


def prefix(condition: Condition) -> tuple[str, ...]:
    """Return the command that runs another one, given behind it, under *condition*."""
    return ("unshare", "--mount", "sh", "-euc", "; ".join((*CONDITIONS[condition], 'exec "$@"')), "sh")
