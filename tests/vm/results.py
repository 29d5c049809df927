"""What the matrix found, as it travels from the guest to the host: one JSON file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

# Whether the kernel's own headers are installed, and whether its BTF is there.
Condition: TypeAlias = Literal["BTF, no headers", "BTF and headers", "headers, no BTF", "neither"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One option of one ladder, tried: `detail` is null where all was seen that was done, else what was wrong.

    `ladder` is the name that `--attach` takes: a probe, or a part of one ("execs.failures"). `forced` says that
    `--attach` asked for the attach option; else the ladder took it by itself.
    """

    ladder: str
    option: str
    forced: bool
    buffer: str
    condition: Condition
    detail: str | None

    @property
    def works(self) -> bool:
        """True where the records said exactly what was done."""
        return self.detail is None


class CheckedAttempt(msgspec.Struct, frozen=True):
    """An attach option as `ebpftop check --json` tells it."""

    via: str
    reason: str | None
    blind: tuple[str, ...] = ()


class CheckedProbe(msgspec.Struct, frozen=True):
    """A probe as `ebpftop check --json` tells it."""

    probe: str
    state: str
    via: str | None
    attempts: tuple[CheckedAttempt, ...]


class CheckReport(msgspec.Struct, frozen=True):
    """What `ebpftop check --json` prints, as far as it is compared."""

    kernel: str
    btf: bool
    headers: str | None
    buffer: str
    probes: tuple[CheckedProbe, ...]
    unseen: tuple[str, ...] = ()

    def not_seen(self) -> list[str]:
        """What the attach options in use cannot see, each with its ladder before it, then what nothing sees."""
        blind = [
            f"{ladder_and_option(probe.probe, option.via)[0]}: {one}"
            for probe in self.probes
            for option in probe.attempts
            if option.reason is None
            for one in option.blind
        ]
        return [*blind, *self.unseen]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """`ebpftop check --json` in a guest: its status, stdout, and the end of stderr."""

    status: int
    said: str
    stderr: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Everything tried on one kernel. `chosen` names the attach option that each ladder takes when left alone."""

    release: str
    chosen: dict[str, str]
    trials: list[Trial]
    check: Checked | None
    seconds: float


def ladder_and_option(probe: str, told: str) -> tuple[str, str]:
    """Return ladder and attach option as `--attach` names them.

    >>> ladder_and_option("execs", "failures: fexit:x"), ladder_and_option("users", "fexit:x")
    (('execs.failures', 'fexit:x'), ('users', 'fexit:x'))
    """
    part, _, option = told.rpartition(": ")
    return (f"{probe}.{part}" if part else probe), option


def save(result: Result, path: Path) -> None:
    """Write *result* to *path*."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))


def load(path: Path) -> Result:
    """Read what `save` wrote; raises OSError or msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Result)
