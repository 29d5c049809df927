"""What the matrix found, as it travels from the guest to the host: one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

# Whether the kernel's own headers are installed, and whether its BTF is there.
Condition: TypeAlias = Literal["BTF, no headers", "BTF and headers", "headers, no BTF", "neither"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of one ladder, tried: `detail` is null where all was seen that was done, else what was wrong.

    `ladder` is the name that `--via` takes: a probe, or a part of one ("execs.failures"). `forced` says that `--via`
    asked for the rung; else the ladder took it by itself.
    """

    ladder: str
    rung: str
    forced: bool
    buffer: str
    condition: Condition
    detail: str | None

    @property
    def works(self) -> bool:
        """True where the records said exactly what was done."""
        return self.detail is None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything tried on one kernel. `chosen` names the rung that each ladder takes when left alone."""

    release: str
    chosen: dict[str, str]
    trials: list[Trial]
    seconds: float


def save(result: Result, path: Path) -> None:
    """Write *result* to *path*."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))


def load(path: Path) -> Result:
    """Read what `save` wrote; raises OSError or msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Result)
