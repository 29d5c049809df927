"""What a message of the verifier means at a line whose source shows it better than the message does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ebpftop.models.source_places import called_function

_BY_ADDRESS = re.compile(r"\b(\w+)\.((?:atomic_)?increment)\s*\(\s*&\s*([^),]+)")
_OPERATION = re.compile(r"\b(\w+)\.(lookup\w*|update|insert|delete)\s*\(\s*&\s*(\w+)")
_STACK_READ = re.compile(r"invalid read from stack R(\d+) off")
_KEY, _VALUE = "2", "3"
"""The registers of the arguments of bpf_map_lookup_elem and bpf_map_update_elem."""
_DECLARED = r"\bBPF_\w+\s*\(\s*{name}\s*,\s*([^,)]+)(?:,\s*([^,)]+))?"
_ASTRAY = re.compile(r"the call stack of \d+ frames is too deep|recursive call|jump out of range")


def in_line(message: str, line: str, source: Sequence[str]) -> tuple[str, str] | None:
    """Return what *message* means at *line*, and what to try; None if the line says no more than the message does."""
    if "stack" in message or "spill" in message:
        if found := _BY_ADDRESS.search(line):
            table, operation, key = found.groups()
            return f"{operation} takes the key itself, not its address.", f"{table}.{operation}({key.strip()})"
        read, found = _STACK_READ.search(message), _OPERATION.search(line)
        if read and found and read[1] in (_KEY, _VALUE):
            return _too_small(*found.groups(), part="key" if read[1] == _KEY else "value", source=source)
    if _ASTRAY.search(message) and (place := called_function(source)) and source[place - 1] == line:
        return (
            "A function that is not inlined is called here: BCC loads each function alone, so the call goes astray.",
            "static inline (or __always_inline) before the function, and no noinline",
        )
    return None


def _too_small(table: str, operation: str, given: str, *, part: str, source: Sequence[str]) -> tuple[str, str]:
    declared = re.search(_DECLARED.format(name=re.escape(table)), "\n".join(source))
    kind = (declared[1 if part == "key" else 2] or "").strip() if declared else ""
    meaning = (
        f"{table}.{operation} reads as many bytes as a {part} of {table} has{f' ({kind})' if kind else ''}: what is "
        "given has fewer, or some of them were never set, as holes between the members of a structure."
    )
    first = f"{kind or 'struct key_t'} {given} = {'{}' if 'struct' in kind or not kind else '0'};"
    return meaning, f"declare it as the map has it, and set all of it: {first}"
