"""The text that the compiler gets: adapted to where its programs are attached, each line with its number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from ebpftop.core.source import SourceError
from ebpftop.kernel import btf
from ebpftop.kernel.btf_types import BtfTypes, Kind
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load import adapt, lines
from ebpftop.kernel.load.attach import places
from ebpftop.kernel.load.source import Source

_KINDS = frozenset({"kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "raw_tracepoint", "tp_btf"})


def compiled_text(source: Source, choice: Mapping[str, str]) -> str:
    """Return the text of *source* whose functions are attached to places of the kinds in *choice*.

    Raises NotAdaptable.
    """
    kinds = {function: cast(adapt.Kind, kind) for function, kind in choice.items() if kind in _KINDS}
    text = adapt.adapted(source, kinds, counts=_counts(source, choice), compat=_compat())
    return lines.numbered(source, text, adapt.PREAMBLE if adapt.is_changed(source, text) else "")


def _counts(source: Source, choice: Mapping[str, str]) -> dict[str, int]:
    """Return how many arguments the kernel functions have that programs of fexit are attached to."""
    counts: dict[str, int] = {}
    for function, kind in choice.items():
        program = source.program(function)
        if kind != "fexit" or program is None:
            continue
        targets = [place.target for event in program.events for place in places(event) if place.kind == "fexit"]
        found = {_argument_count(target) for target in targets} - {None}
        if len(found) == 1 and (count := found.pop()) is not None:
            counts[function] = count
    return counts


@cache
def _argument_count(function: str) -> int | None:
    """Return how many words the arguments of a kernel function are; None if the kernel does not describe it."""
    try:
        types = BtfTypes(btf.of_running_kernel())
    except BtfError:
        return None
    if (number := types.find(Kind.FUNC, function)) is None:
        return None
    # A struct of up to 16 bytes is passed in two registers.
    return sum(max(1, -(-types.size_of(one.type_id) // 8)) for one in types.type(types.type(number).target).members)


@cache
def _compat() -> adapt.Compat | None:
    """Return how a task shows that it is in a 32-bit call; None if that is unknown."""
    try:
        defines = kernel_defines()
    except SourceError:
        return None
    offset, mask = defines.get("OFF_TASK_COMPAT"), defines.get("COMPAT_MASK")
    return adapt.Compat(offset, mask) if isinstance(offset, int) and isinstance(mask, int) else None
