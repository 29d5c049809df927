"""The record of ends: how many processes ended, and how."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from ebpftop.core.records import Count, TableReading

Reason: TypeAlias = Literal["ok", "error", "signal"]


class EndingRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many processes ended so: with status 0, with another one, or by `signal`, which is empty otherwise."""

    reason: Reason
    signal: str
    count: Count


class Endings(TableReading, frozen=True, kw_only=True, tag="endings"):
    """How processes ended: counted in the kernel, so also those whose `exit` was lost."""

    rows: tuple[EndingRow, ...]
    keys: ClassVar[dict[str, tuple[str, ...]]] = {"rows": ("reason", "signal")}
