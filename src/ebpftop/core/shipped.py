"""Files that ebpftop ships beside its modules."""

from __future__ import annotations

from pathlib import Path


def shipped(folder: str) -> Path:
    """Return where *folder*, as bpf or docs/lesson, is: in the wheel inside the package, in a checkout beside src/."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / folder
    return packaged if packaged.is_dir() else package.parents[1] / folder
