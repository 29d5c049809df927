"""What glibc does with memory that was freed: by default it keeps much of it for itself."""

from __future__ import annotations

from contextlib import suppress

# malloc.h of glibc
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_ARENAS = 2
_LARGE_BYTES = 256 << 10


def set_up() -> None:
    """Set what it needs of addresses and memory. Call it while there is one thread.

    Two heaps instead of eight per CPU, each with 64 MiB of addresses: our threads need no more. And whatever is large
    gets memory of its own, which the kernel gets back when it is freed: else glibc puts it into a heap from the second
    time on.
    """
    with suppress(ImportError, OSError, AttributeError):  # not glibc
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give the kernel back what is free in the heaps. It takes half a millisecond."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
