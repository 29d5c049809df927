"""The guest's side of tests/vm/outside.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from ebpftop.kernel.compile_helper import Answer, Request

FOLDER = "EBPFTOP_OUTSIDE"
"""The environment variable that names the folder which guest and host share."""
# The shortest one. It is compiled inside too, where that is asked for, and has to come out the same.
TWICE = "EBPFTOP_COMPILED_TWICE"
_COMPILED_TWICE = '#line 1 "opens.c"'
_POLL_S = 0.05
# All tests of the machine outside may be before it.
_PATIENCE_S = 600.0


def ask_outside(compile_inside: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """Return what to call in place of *compile_inside*."""

    def ask(request: Request) -> Answer:
        folder = os.environ.get(FOLDER)
        if folder is None or request.flags is None:  # with the guest's own headers
            return compile_inside(request)
        answer = _ask(Path(folder), msgspec.msgpack.encode(request))
        twice = TWICE in os.environ and request.source.startswith(_COMPILED_TWICE)
        if twice and compile_inside(request) != answer:
            return Answer(None, "what this kernel's guest compiles differs from what is compiled outside")
        return answer

    return ask


def _ask(folder: Path, request: bytes) -> Answer:
    name = blake2b(request, digest_size=16).hexdigest()
    answer = folder / f"{name}.answer"
    if not answer.exists():
        begun = folder / f"{name}.{os.getpid()}"
        begun.write_bytes(request)
        begun.rename(folder / f"{name}.request")
    until = time.monotonic() + _PATIENCE_S
    while not answer.exists():
        if time.monotonic() > until:
            return Answer(None, f"the machine outside compiled nothing in {_PATIENCE_S:.0f} s")
        time.sleep(_POLL_S)
    return msgspec.msgpack.decode(answer.read_bytes(), type=Answer)
