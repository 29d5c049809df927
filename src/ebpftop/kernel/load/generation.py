"""What runs of a file: maps, programs, and where they are attached; or why it was not loaded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from ebpftop.kernel.load.attach import Link, Place
from ebpftop.kernel.load.counters import Counters
from ebpftop.kernel.load.lines import as_named
from ebpftop.kernel.load.loading import Loading, ProgramState, Stage
from ebpftop.kernel.load.lost_counts import LostCounts
from ebpftop.kernel.load.maps import OpenMap, Shapes
from ebpftop.kernel.load.source import Source

_ERROR = re.compile(r"^.*\berror: .*$", re.MULTILINE)


@dataclass
class Generation:
    """What runs: maps, programs, and where they are attached."""

    maps: dict[str, OpenMap]
    shapes: dict[str, Shapes]
    programs: list[ProgramState]
    copies: dict[str, dict[Place, int]] = field(default_factory=dict)
    """Of programs of fentry and its like, which the kernel ties to one function: those for their other places."""
    links: list[Link] = field(default_factory=list)
    counters: Counters | None = None
    lost: LostCounts | None = None

    def named(self, name: str) -> ProgramState | None:
        """Return a program by name."""
        return next((one for one in self.programs if one.name == name), None)

    def close(self, other: Generation | None) -> None:
        """Detach and remove it all, but maps that *other* goes on with."""
        for link in self.links:
            link.close()
        kept = {one.fd for one in other.maps.values()} if other else set()
        fds = [fd for one in self.programs for fd in (one.fd, one.plain_fd) if fd is not None]
        fds += [fd for copies in self.copies.values() for fd in copies.values()]
        fds += [one.fd for one in self.maps.values() if one.fd not in kept]
        for fd in fds:
            os.close(fd)
        if self.counters is not None:
            self.counters.close()
            self.counters = None
        if self.lost is not None:
            self.lost.close()
            self.lost = None
        self.links.clear()
        self.programs.clear()
        self.copies.clear()
        self.maps.clear()


@dataclass(frozen=True)
class Failure:
    """Why a file was not loaded."""

    stage: Stage
    error: str
    remedy: str = ""
    output: str = ""
    compiled: str = ""
    compile_s: float = 0.0
    btf: bytes = b""
    programs: tuple[ProgramState, ...] = ()
    line: int | None = None
    """Of the source, if the error is about one."""

    def loading(self, source: Source, generation: int) -> Loading:
        """Return it as what an attempt came to."""
        return Loading(
            False,
            generation,
            self.stage,
            self.error,
            self.remedy,
            self.line,
            compile_s=self.compile_s,
            output=self.output,
            source=source.text,
            structs=source.structs,
            shows=source.shows,
            included=source.includes,
            missing=source.missing,
            compiled=self.compiled,
            btf=self.btf,
            programs=self.programs,
        )


def first_error(output: str, name: str) -> str | None:
    """Return the first line that is an error of what clang says of the file *name*: ``hello.c:5:3: error: ..``."""
    found = _ERROR.search(as_named(output, name))
    return found[0] if found else None
