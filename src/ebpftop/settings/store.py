"""The settings of this process: what holds, where it came from, what changed on the screen and is to be kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from ebpftop.lifecycle.invoker import as_invoker
from ebpftop.settings import places
from ebpftop.settings.reading import File, Problem, dotted, read_file, without
from ebpftop.settings.rows import REMEMBER, Path, Setting, Table, default_of

Value = TypeVar("Value")

COMMAND_LINE = "the command line"
DEFAULT = "the default"


class Settings(Struct):
    """What holds: the command line, then what changed on the screen, the user's file, the machine's, the default."""

    user: File | None = None
    """The user's file, into which changes are saved; None: there is none, nothing is saved."""
    system: File | None = None
    given: dict[Path, Any] = field(default_factory=dict)
    """Of the command line."""
    is_named: bool = False
    """The file was named on the command line: it has to be right."""
    misgiven: list[Problem] = field(default_factory=list)
    """What is wrong on the command line, and was not known when that was read."""
    changed: dict[Path, Any] = field(default_factory=dict)
    """On the screen, and not saved yet; None: the default again."""
    unsaved: str = ""
    """Why nothing is saved, whatever changes; empty: it is."""

    @property
    def path(self) -> str:
        """The file into which changes are saved; empty if there is none."""
        return "" if self.user is None else self.user.name

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(file for file in (self.user, self.system) if file is not None)

    @property
    def problems(self) -> list[Problem]:
        return [*(problem for file in self.files for problem in file.problems), *self.misgiven]

    def __getitem__(self, setting: Setting[Value]) -> Value:
        return cast(Value, self.value(setting.path))

    def value(self, path: Path) -> Any:
        """Return the value that holds at *path*; None for what has a name of its own and no value."""
        return self._found(path)[0]

    def has(self, path: Path) -> bool:
        """Is there a value at *path* in a file?"""
        return any(path in file.values for file in self.files)

    def origin(self, path: Path) -> str:
        """Return where the value at *path* comes from."""
        return self._found(path)[1]

    def _found(self, path: Path) -> tuple[Any, str]:
        if path in self.given:
            return self.given[path], COMMAND_LINE
        for file in self.files:
            if path in file.values:
                return file.values[path], file.name
        return default_of(path), DEFAULT

    def entries(self, table: Table) -> dict[str, Any]:
        """Return the values of *table*, by their names."""
        names = dict.fromkeys(path[1] for file in reversed(self.files) for path in file.values if path[0] == table.name)
        return {name: self.value((table.name, name)) for name in names}

    def beneath(self, path: Path) -> Any:
        """Return what would hold at *path* if the user had no value of their own."""
        if self.system is not None and path in self.system.values:
            return self.system.values[path]
        return default_of(path)

    @property
    def is_refused(self) -> bool:
        """Was the file named on the command line, and is something wrong in it?"""
        return self.is_named and not all(problem.is_doubt for problem in self.problems)

    @property
    def remembers(self) -> bool:
        return self[REMEMBER]

    def change(self, path: Path, value: Any) -> None:
        """Let *value* hold from now on, and keep it with the next `save`. None: what holds without it."""
        self.given.pop(path, None)
        if self.user is None:
            self.user = File("")  # nowhere
        is_own = path in self.user.written
        if value is None or (not is_own and value == self.beneath(path)):
            self.user.values.pop(path, None)
            self.changed.pop(path, None)
            if is_own:
                self.changed[path] = None
        elif self.user.values.get(path) != value:
            self.user.values[path] = value
            self.changed[path] = value

    def remember(self, path: Path, value: Any) -> None:
        """Keep what the user chose elsewhere on the screen, unless that is not wanted."""
        if self.remembers:
            self.change(path, value)

    def refuse(self, path: Path, reason: str) -> None:
        """Say that a value cannot hold: only where it is used that is known."""
        if path in self.given:
            del self.given[path]
            self.misgiven.append(Problem(COMMAND_LINE, 0, dotted(path), reason, without(path)))
            return
        for file in self.files:
            if path in file.values:
                file.refuse(path, reason, without(path))

    def doubt(self, path: Path, reason: str) -> None:
        """Say what may not be meant by a value that holds."""
        for file in self.files:
            if path in file.values:
                file.doubt(path, reason)
                return

    def save(self) -> str:
        """Write what changed into the user's file; return why that is not possible, or nothing.

        Another thread may call it: what changes meanwhile is saved the next time.
        """
        changes, self.changed = self.changed, {}
        if not changes or self.user is None or not self.path or self.unsaved:
            return ""
        from ebpftop.settings.writing import NotSaved, write

        try:
            write(self.path, changes)
        except NotSaved as error:
            self.changed = {**changes, **self.changed}  # for the next time
            return f"Settings are not saved in {self.path}: {error}"
        for path, value in changes.items():
            (self.user.written.discard if value is None else self.user.written.add)(path)
        return ""


def load(config: str | None = None) -> Settings:
    """Read the settings of this user, or only those in *config*; with the rights of the user behind sudo."""
    named = os.environ.get(places.VARIABLE) if config is None else config
    with as_invoker():
        if named is not None:
            return Settings(user=read_file(named) if named else None, is_named=config is not None)
        own = places.user_file()
        return Settings(user=None if own is None else read_file(own), system=read_file(places.SYSTEM))


def given_on(words: Sequence[str], options: Sequence[str]) -> bool:
    """Is one of *options* among the words of a command line, where options are not abbreviated?"""
    until = words.index("--") if "--" in words else len(words)
    return any(word.partition("=")[0] in options for word in words[:until])
