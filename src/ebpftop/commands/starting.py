"""What the commands that open a screen share while they start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Stop the garbage collector: imported and compiled objects are not garbage, and a collection takes 0.1 s.

    The objects that exist at the end are frozen, so later collections skip them too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
