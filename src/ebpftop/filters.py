"""What the user wants to see: uids, processes with their descendants, command names, cgroups. Decided in the kernel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Filter:
    """Every kind that is not empty must match; within a kind, any value does.

    `comms` are command names as the kernel keeps them (15 bytes), a ``*`` at the end for a prefix. `cgroups` are paths
    below the unified hierarchy; descendants match too. `hide_self` leaves ebpftop itself out.
    """

    uids: tuple[int, ...] = ()
    pids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    hide_self: bool = True

    def __bool__(self) -> bool:
        """Tell whether anything but `hide_self` is asked for."""
        return bool(self.uids or self.pids or self.comms or self.cgroups)

    def __str__(self) -> str:
        """Return the filter as its options, for the state line."""
        return " ".join(
            f"--{name} {value}"
            for name, values in (("uid", self.uids), ("pid", self.pids), ("comm", self.comms), ("cgroup", self.cgroups))
            for value in values
        )
