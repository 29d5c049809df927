"""What can be written into a map of each type: values, new keys, removed ones; and why the rest cannot be."""

from __future__ import annotations

from typing import Literal

from ebpftop.core.load_records import LoadedMap
from ebpftop.models.load_maps import SLOTS, MapTable

Write = Literal["set", "add", "remove"]
"""Set the value of an entry, add a key, remove one."""

_ARRAYS = frozenset(("array", "percpu_array"))

_ONLY_PROGRAMS: dict[str, str] = {
    "stack_trace": "stacks are put into it by bpf_get_stackid alone",
    "queue": "a queue has no keys; programs push and pop",
    "stack": "a stack has no keys; programs push and pop",
    "bloom_filter": "a Bloom filter has no keys that could be listed",
}
"""Why nothing is written into a map of a type that has values."""


def why_not(table: MapTable, write: Write) -> str:
    """Return why *write* cannot be done to a map, as a sentence about it; empty if it can be."""
    info = table.info
    kind = info.type.replace("_", " ")
    if table.is_histogram:
        return f"{info.name} is drawn as a histogram. // ebpftop: show {info.name}=table lists its entries, to be set"
    if not info.writable:
        why = _ONLY_PROGRAMS.get(info.type, "its values are no data, but objects of the kernel")
        return f"{info.name} cannot be written from here: {why} ({kind})"
    if info.type in _ARRAYS and write == "remove":
        return f"{info.name} is an array, which keeps all its keys: Enter sets a value, to 0 if you like"
    if info.type in _ARRAYS and write == "add" and len(table.entries) >= info.max_entries:
        return f"{info.name} is an array, which has all its keys, {_range(info)}: Enter sets the value of one"
    return ""


def can(table: MapTable) -> str:
    """Return what keys do to the entries of a map, as a sentence; empty if nothing can be written."""
    info = table.info
    if not info.writable or table.is_histogram:
        return ""
    if info.type == SLOTS:
        return "Enter puts a program into a slot, A fills another one, Del empties it"
    if info.type in _ARRAYS:
        others = "" if why_not(table, "add") else f", A that of any key ({_range(info)})"
        return f"Enter sets a value{others}"
    return "Enter sets a value, A adds a key, Del removes it"


def new_key(table: MapTable) -> str:
    """Return what a new entry is called: a slot, a key, or of an array one of those that it has."""
    if table.is_slots:
        return "slot"
    return f"key {_range(table.info)}" if table.info.type in _ARRAYS else "new"


def nothing_yet(table: MapTable) -> str:
    """Return why a map shows no entry, and what adds one."""
    info = table.info
    if info.type == SLOTS:
        return f"no slot of {info.name} has a program: A puts one into it"
    if not info.writable or table.is_histogram:
        return f"{info.name} has no entry yet"
    if info.type in _ARRAYS:
        return f"all values of {info.name} are 0: A sets one"
    return f"{info.name} has no entry yet: A adds one"


def _range(info: LoadedMap) -> str:
    return f"0 to {info.max_entries - 1:,}"
