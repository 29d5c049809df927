"""What the screen may ask of a source that runs a program of one's own: to write its maps, to count its lines."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class FileEditor(Protocol):
    """A source whose loaded file can be changed while it runs.

    All are slow (call them from a thread), and raise `SourceError` if what is asked for is refused. Keys and values are
    texts as they were typed: a number (also ``0x1f``), a text, the name of an enum's value, ``name=value ..`` for a
    structure, ``1,2,3`` for an array.
    """

    def write_map(self, name: str, key: str, value: str, field: str = "") -> None:
        """Set the value of *key* in the map *name*, or only its *field*: ``stats.count``. A new key is added."""

    def delete_key(self, name: str, key: str) -> None:
        """Remove *key* from the map *name*."""

    def set_slot(self, name: str, index: str, program: str | None) -> None:
        """Put *program* into a slot of the prog array *name*, None: empty it. *index*: a number, or a system call."""


@runtime_checkable
class LineCounter(Protocol):
    """A source that can count how often each line of its loaded file runs."""

    def count_lines(self, on: bool) -> None:
        """Count how often each line runs, from now on, or no more."""


@runtime_checkable
class FileOpener(Protocol):
    """A source that can run another file instead of the one that it runs."""

    def open_file(self, path: str) -> None:
        """Run the file *path* from now on. Slow; raises SourceError if it cannot be read, and then nothing changes."""
