"""One attempt to load a file: read, compiled, verified. That is slow, and for a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from ebpftop.kernel.attach import KernelFeatures
from ebpftop.kernel.load import server
from ebpftop.kernel.load.build import Build
from ebpftop.kernel.load.compiled_text import compiled_text
from ebpftop.kernel.load.deadline import Deadline, Ended
from ebpftop.kernel.load.events import Event
from ebpftop.kernel.load.generation import Failure, Generation
from ebpftop.kernel.load.ladder import Ladder
from ebpftop.kernel.load.limits import PROGRAMS_MAX, PROGRAMS_REMEDY, too_many_programs
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.saved import Watch
from ebpftop.kernel.load.server import LoadServer
from ebpftop.kernel.load.source import Source, SourceRefused, read

Step: TypeAlias = Literal["reading", "compiling", "verifying"]


class Attempt:
    """What is made of a file in its present state. `build` may be called in any thread; only `deadline` ends it."""

    def __init__(
        self,
        path: Path,
        attach: Mapping[str, tuple[Event, ...]],
        watch: Watch,
        ladder: Ladder,
        features: KernelFeatures,
        running: LoadServer | None,
        map_bytes_max: int,
        *,
        load_s: float,
        counting: bool,
        text_before: str = "",
    ) -> None:
        """Note what the file is like now. *text_before* stands for its text if nothing can be read."""
        self.started_s = time.monotonic()
        self.saved = watch.begin()
        self.deadline = Deadline(load_s)
        self.counting = counting
        self.step: Step = "reading"
        self.step_since_s = self.started_s
        self.was_read = threading.Event()
        """Set when it was read, or could not be."""
        self.source: Source | None = None
        """What was read; None until then."""
        self._path = path
        self._text_before = text_before
        self._attach = attach
        self._watch = watch
        self._ladder = ladder
        self._features = features
        self._server = running
        self._map_bytes_max = map_bytes_max

    def build(self, now: Generation | None, generation: int) -> Build | Loading:
        """Return what is ready to be attached, or why nothing is; *now* is what runs, the *generation*-th.

        Where what it was built for cannot be attached, `Ladder.climb` says what to build next, and it is called again.
        Raises Ended if it was abandoned.
        """
        try:
            source = self.source or self._read()
        except SourceRefused as error:
            self.was_read.set()
            text = self._text_before if error.text is None else error.text
            # If there was one, its name is right.
            is_gone = error.text is None and bool(self._text_before) and not os.path.lexists(self._path)
            remedy = "it is loaded again when it is back" if is_gone else error.remedy
            return Loading(False, generation, "source", error.message, remedy, error.line, source=text)
        while (result := self._build(source, now)) is None:
            pass
        if isinstance(result, Failure):
            return result.loading(source, generation)
        return result

    def _begin(self, step: Step) -> None:
        self.step_since_s = time.monotonic()
        self.step = step

    def _read(self) -> Source:
        """Read it; raises SourceRefused, Ended."""
        while True:
            self._watch.wait_until_written(self.deadline.check)
            try:
                source = read(self._path, self._attach)
            except SourceRefused as error:
                self._watch.include(error.files)
                if not self._watch.is_written_anew():
                    raise
                self.saved = self._watch.begin()
                continue
            break
        self._watch.include(source.files)
        if len(source.programs) > PROGRAMS_MAX:
            too_many = too_many_programs(len(source.programs))
            refused = SourceRefused(too_many, PROGRAMS_REMEDY, source.programs[PROGRAMS_MAX].line)
            refused.text = source.text
            raise refused
        self._ladder.begin(source, self._features)
        self.source = source
        self.was_read.set()
        return source

    def _build(self, source: Source, now: Generation | None) -> Build | Failure | None:
        """Compile and load it for the places that come next; None if others have to be tried."""
        running = self._server or server.running()
        if running is None:
            return Failure("limit", server.GONE, server.GONE_REMEDY)
        self._begin("compiling")
        text = self._ladder.adapt(source, compiled_text)
        build = Build.make(running, source, text, self._map_bytes_max, self.deadline)
        if isinstance(build, Failure):
            return build
        self._begin("verifying")
        try:
            build.keep_maps(now)
            refused = build.load_programs(self._ladder, counting=self.counting)
            if self.deadline.is_abandoned:
                raise Ended
        except Ended:
            build.close(now)
            raise
        if not refused and not build.is_late:
            return build
        failure = build.refused()
        is_final = build.is_late or build.is_refused_by_verifier()
        build.close(now)
        return None if not is_final and self._ladder.climb(refused) else failure
