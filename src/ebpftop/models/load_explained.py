"""What a line of the source, or an instruction, names: a sentence about each helper and each map."""

from __future__ import annotations

import re

from ebpftop.core.load_records import LoadedMap
from ebpftop.models.helper_words import explain_instruction, explain_line
from ebpftop.models.load import LoadModel


def explained(text: str, model: LoadModel) -> list[tuple[str, str]]:
    """Return the terms of *text* that can be explained, each with a sentence, in their order."""
    found: dict[str, str] = {}
    maps = {one.name: one for one in (model.latest.maps if model.latest is not None else ())}
    for name in re.findall(r"\w+", text):
        if name in maps:
            found[name] = about_map(maps[name])
    found.update(explain_line(text))
    if text.startswith("call ") and (words := explain_instruction(text)) is not None:
        found[text.removeprefix("call ")] = words
    return list(found.items())


def about_map(info: LoadedMap) -> str:
    """Return what a map is: its type, its key, its value."""
    key, value = (one.type if one is not None else "?" for one in (info.key, info.value))
    kept = ", kept over the last reload" if info.kept else ""
    arrow = f"{key} → {value}" if info.key is not None else f"events of {value}"
    cpus = ", a value for each CPU" if info.per_cpu else ""
    kind = info.type.replace("_", " ")
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}{cpus}, id {info.id}: {arrow}{kept}"
