"""Which C file the probe ``load`` loads: kept apart, since who asks for it needs neither the kernel nor bcc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpftop.kernel.load.events import Event


@dataclass(frozen=True)
class LoadRequest:
    """A file, and where those of its functions hang for which neither the file nor their names say it."""

    path: Path
    attach: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    map_bytes_max: int = 256 << 20
    """What its maps together may take of the kernel's memory."""
