"""Seccomp profiles of what the screen shows: of a row, and of all that the filter leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ebpftop import __version__
from ebpftop.core.format import counted, duration
from ebpftop.core.source import Source
from ebpftop.models.copy_as import CommandLine
from ebpftop.models.overview import Overview
from ebpftop.models.seccomp import PROBE, CallsSeen, Losses, of_process, profile, seen_in
from ebpftop.models.subset import default_name
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.ui.screens.filtering import FilterController

if TYPE_CHECKING:
    from ebpftop.models.subject import Subject
    from ebpftop.ui.screens.save_dialog import Saving


class ProfileController:
    """Finds out which calls were seen of something, and makes profiles of them."""

    def __init__(
        self,
        source: Source,
        calls: Callable[[], SyscallsModel],
        overview: Callable[[], Overview],
        filters: FilterController,
    ) -> None:
        self._source = source
        self._calls = calls
        self._overview = overview
        self._filters = filters

    def _losses(self) -> Losses:
        overview = self._overview()
        probe = overview.probes.get(PROBE)
        lost = overview.lost.get(PROBE, {}).get("recursion", 0)
        return Losses(lost, probe.blind if probe is not None else ())

    def of_subject(self, subject: Subject | None) -> CallsSeen | None:
        """Return the calls of the process that *subject* is about, as far as they are listed."""
        reading = self._calls().latest
        if subject is None or subject.pid is None or reading is None:
            return None
        return of_process(reading, subject.pid, subject.start_ns, self._source.header.started, self._losses())

    def of_filter(self) -> CallsSeen | None:
        """Return the calls of all that the filter leaves, if the kernel has counted nothing else since a moment."""
        model, stack = self._calls(), self._filters.stack
        reading = model.latest
        if reading is None or not self._source.live or not stack.filter:
            return None
        baseline = model.baseline
        if baseline is None:
            # The filter of the command line has been there from the start.
            is_from_start = len(stack.levels) == 1 and not self._filters.has_changed
            begin = self._source.header.started if is_from_start else None
        else:
            begin = baseline.reading.time if baseline.reading.time >= model.view_filter.kernel_filter_since else None
            if not self._filters.has_changed:
                begin = baseline.reading.time
        if begin is None:
            return None
        before = {key: row.count for key, row in baseline.rows.items()} if baseline is not None else {}
        return seen_in(reading, f"what matches {stack.breadcrumb}", begin, self._losses(), before)

    def found(self, row: CallsSeen | None, subject: Subject | None) -> Iterator[CallsSeen]:
        """Yield what is known: of a row, else of its process; and of the filter."""
        for seen in (row or self.of_subject(subject), self.of_filter()):
            if seen is not None and seen.named:
                yield seen

    def lines(self, row: CallsSeen | None, subject: Subject | None) -> Iterator[CommandLine]:
        """Yield the profiles as texts that can be copied."""
        for seen in self.found(row, subject):
            about = f"{_about(seen)}; Ctrl-S saves it"
            yield CommandLine("seccomp", about, self._text(seen).decode(), " ".join(seen.named))

    def savings(self, row: CallsSeen | None, subject: Subject | None, moment: float) -> Iterator[Saving]:
        """Yield the profiles as files that can be saved."""
        from ebpftop.ui.screens.save_actions import write_file
        from ebpftop.ui.screens.save_dialog import Saving

        for seen in self.found(row, subject):

            def write(path: str, replace: bool, seen: CallsSeen = seen) -> str:
                write_file(path, self._text(seen), replace)
                return f"Seccomp profile of {counted(len(seen.named), 'call')} in {os.path.abspath(path)}"

            name = default_name("seccomp", self._source.header.host, "", moment)
            yield Saving("seccomp", _about(seen), name, write)

    def _text(self, seen: CallsSeen) -> bytes:
        return profile(seen, self._source.header, __version__)


def _about(seen: CallsSeen) -> str:
    span = duration(max(0.0, seen.end - seen.begin))
    doubts = f"; may be missing: {'; '.join(seen.doubts)}" if seen.doubts else ""
    return f"profile of {counted(len(seen.named), 'call')} of {seen.of} in {span}{doubts}"
