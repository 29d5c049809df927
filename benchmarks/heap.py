"""`ebpftop` with a thread that logs the content of Python's heap each minute: `heap.py FILE ARGUMENTS`. For soak.py."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections import Counter

EVERY_S = 60.0
MOST = 25


_MALLINFO2 = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _Mallinfo2(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO2]


def heap() -> list[str]:
    """Return a line for each of the largest types: the number of objects, and their bytes.

    All objects that the collector's objects refer to are counted, also those that it does not track (texts, numbers,
    records).
    """
    seen: set[int] = set()
    numbers: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    waiting: list[object] = list(gc.get_objects())
    gc.unfreeze()
    waiting += gc.get_objects()
    own = {id(waiting), id(seen), id(numbers), id(sizes)}
    while waiting:
        one = waiting.pop()
        if id(one) in seen or id(one) in own:
            continue
        seen.add(id(one))
        name = f"{type(one).__module__}.{type(one).__qualname__}"
        numbers[name] += 1
        sizes[name] += sys.getsizeof(one)
        fields = getattr(type(one), "__struct_fields__", ())  # of records, which are not tracked
        if fields or not gc.is_tracked(one):
            waiting += [getattr(one, field) for field in fields] or gc.get_referents(one)
        else:
            waiting += gc.get_referents(one)
    return [f"{sizes[name] / 1e6:9.2f} MB {numbers[name]:9} {name}" for name, _ in sizes.most_common(MOST)]


def mallinfo() -> str:
    """Return the memory of malloc: from the system, mapped, used, free."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo2
    info = libc.mallinfo2()
    return ", ".join(
        f"{what} {getattr(info, name) / 1e6:.1f} MB"
        for what, name in (("arenas", "arena"), ("mapped", "hblkhd"), ("used", "uordblks"), ("free", "fordblks"))
    )


def write(path: str) -> None:
    """Write it each minute, for ever."""
    with open(path, "w", buffering=1) as file:
        began_s = time.monotonic()
        while True:
            time.sleep(EVERY_S)
            now_s = time.monotonic() - began_s
            lines = heap()
            total = sum(float(line.split()[0]) for line in lines)
            print(f"--- {now_s:.0f} s: {total:.1f} MB; malloc: {mallinfo()}", *lines, sep="\n", file=file)


if __name__ == "__main__":
    path = sys.argv.pop(1)
    threading.Thread(target=write, args=(path,), daemon=True).start()
    from ebpftop.cli.main import main

    raise SystemExit(main(sys.argv[1:]))
