"""What a screen changes of the file that is loaded: `ebpftop.core.load_edits.FileEditor`, on the live kernel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpftop.probes.load import LoadProbe
    from ebpftop.probes.load_work import LoadWork

_AGAIN_S = 0.5


class LoadEdits(ABC):
    """Each of these raises SourceError if it is refused."""

    @abstractmethod
    def _editing(self) -> AbstractContextManager[LoadProbe]:
        """Return the probe, locked; what it has is read when the context ends. Raises SourceError if there is none."""

    def open_file(self, path: str) -> None:
        """Load another file instead; the one before runs on if that fails."""
        self._load(lambda probe: probe.open_file(Path(path)))

    def count_lines(self, on: bool) -> None:
        """Count how often each line runs, from now on, or no more."""
        self._load(lambda probe: probe.count_lines(on))

    def _load(self, begin: Callable[[LoadProbe], LoadWork]) -> None:
        """Begin to load something, and wait until that is over; meanwhile the probe is not locked."""
        with self._editing() as probe:
            work = begin(probe)
        while not work.is_over:
            work.wait(_AGAIN_S)
            with self._editing() as probe:
                probe.advance()
        work.require()

    def write_map(self, name: str, key: str, value: str, field: str = "") -> None:
        """Set a key of a map, or one *field* of its value, to what was typed."""
        with self._editing() as probe:
            probe.edits.write_map(name, key, value, field)

    def delete_key(self, name: str, key: str) -> None:
        """Remove a key from a map."""
        with self._editing() as probe:
            probe.edits.delete_key(name, key)

    def set_slot(self, name: str, index: str, program: str | None) -> None:
        """Put a program into a slot of an array of programs, None: empty it."""
        with self._editing() as probe:
            probe.edits.set_slot(name, index, program)
