"""How much memory the screen may fill with what it keeps: `--memory`, one bound for all of it.

Each bound in bytes is written where it applies, as it is with the default of `--memory`; `scaled` makes it what it is
with the value that was chosen. tests/unit/test_memory_budget.py adds them up.
"""

from __future__ import annotations

DEFAULT_MIB = 200

_total_mib = [DEFAULT_MIB]


def set_total(mib: int) -> None:
    """Bound what is kept to *mib* MiB, from now on: for models that are made later."""
    _total_mib[0] = mib


def scaled(at_default: int) -> int:
    """Return a bound that is *at_default* if the total is the default."""
    return at_default * _total_mib[0] // DEFAULT_MIB
