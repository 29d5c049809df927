"""What is known not to work somewhere, and what ebpftop must say there. Everything else has to work."""

from __future__ import annotations

from dataclasses import dataclass

from .results import Trial


@dataclass(frozen=True, slots=True)
class Expected:
    """`faults`: what a trial must say, each of it; nothing where it must work."""

    faults: tuple[str, ...]

    def holds(self, trial: Trial) -> bool:
        """True where *trial* came out as expected."""
        return all(fault in (trial.detail or "") for fault in self.faults) if self.faults else trial.works


def expected_fault(kernel: str, release: str, trial: Trial) -> Expected:
    """What *trial* must come to on *kernel*, whose `uname -r` is *release*."""
    if trial.condition == "neither":
        return Expected(("no headers of its own are installed", f"apt-get install linux-headers-{release}"))
    if trial.condition == "headers, no BTF" and kernel == "newest":
        # Released BCC cannot compile the headers of Linux 6.19 and later (iovisor/bcc#5525).
        return Expected(
            ("this kernel has no BTF, and its headers do not help: they do not compile: ", "CONFIG_DEBUG_INFO_BTF=y")
        )
    return Expected(())
