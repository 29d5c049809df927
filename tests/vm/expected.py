"""What is known not to work somewhere, and what ebpftop must say there. Everything else has to work."""

from __future__ import annotations

from dataclasses import dataclass

from .results import Trial


@dataclass(frozen=True, slots=True)
class Expected:
    """`fault`: a part of what a trial must say; None where it must work."""

    fault: str | None

    def holds(self, trial: Trial) -> bool:
        """True where *trial* came out as expected."""
        return trial.works if self.fault is None else self.fault in (trial.detail or "")


def expected_fault(kernel: str, trial: Trial) -> Expected:
    """What *trial* must come to on *kernel*."""
    if trial.condition == "neither":
        return Expected("apt-get install linux-headers-")
    if kernel == "5.10" and trial.rung.startswith("fexit:"):
        # No program may read the arguments of __x64_sys_execveat: this kernel's BTF only declares their type.
        return Expected("Permission denied (EACCES)")
    if trial.condition == "headers, no BTF" and kernel == "newest":
        # Released BCC cannot compile the headers of Linux 6.19 and later (iovisor/bcc#5525).
        return Expected("headers do not help")
    return Expected(None)
