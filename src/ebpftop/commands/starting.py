"""What the commands that open a screen share while they start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Let the garbage collector rest: what is imported and compiled is no garbage, and to look through it takes 0.1 s.

    What is there at the end stays, so later collections do not look at it either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
