"""What somebody typed, as bytes in a map of the program: values, keys, slots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.load.layout import Layout
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.value_text import encoded
from ebpftop.kernel.load.values import BadValue
from ebpftop.probes.load_maps import ShownMap, ShownMaps
from ebpftop.probes.load_names import LoadNames


class MapEdits:
    """Edits of the maps of one file."""

    def __init__(self, file: LoadedFile, maps: ShownMaps, names: LoadNames) -> None:
        self._file = file
        self._maps = maps
        self._names = names

    def write_map(self, name: str, key: str, value: str, field: str = "") -> None:
        """Set a key of a map to what was typed; *field* is the member of the value, or empty for the whole."""
        with refusing():
            one = self._maps.writable(name)
            key_layout, layout = _layouts(one)
            raw_key = encoded(key_layout, key, resolve=self._names.number)
            before = one.map.lookup(raw_key)
            first = one.map.cpu_values(before)[0] if before is not None else None
            self._file.write(name, raw_key, encoded(layout, value, first, field, self._names.number))

    def delete_key(self, name: str, key: str) -> None:
        """Delete a key of a map."""
        with refusing():
            one = self._maps.writable(name)
            if not self._file.delete(name, encoded(_layouts(one)[0], key, resolve=self._names.number)):
                raise SourceError(f"{printable(name)} has no key {printable(key)}")

    def set_slot(self, name: str, index: str, program: str | None) -> None:
        """Put a program of the file into a slot of an array of programs, or empty it."""
        with refusing():
            one = self._maps.writable(name)
            number = self._names.syscall(index) if not index.strip().isdecimal() else int(index)
            if number is None:
                raise BadValue(f"{index} is neither a number nor a system call")
            if not 0 <= number < one.map.info.max_entries:
                raise BadValue(f"{name} has the slots 0 to {one.map.info.max_entries - 1}")
            self._file.set_slot(name, number, program)


def _layouts(one: ShownMap) -> tuple[Layout, Layout]:
    if one.layout.key is None or one.layout.value is None or not one.map.is_readable:
        raise SourceError(f"{printable(one.map.name)} has no cells")
    return one.layout.key, one.layout.value


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the kernel, or the layout, refuses into an error for the screen."""
    try:
        yield
    except (BadValue, ValueError) as error:
        raise SourceError(printable(str(error))) from error
    except KeyError as error:
        said = str(error.args[0])  # a sentence, or the name of a map that is not there any more
        raise SourceError(printable(said if " " in said else f"there is no map {said}")) from error
    except LoadError as error:
        raise SourceError(printable(str(error))) from error
    except OSError as error:
        raise SourceError(f"the kernel refuses it: {error.strerror}") from error
