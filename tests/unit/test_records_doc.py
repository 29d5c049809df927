"""docs/records.md says what the records are: every record, every field, every type, and nothing that is not there."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from ebpftop.core.ending_records import EndingRow
from ebpftop.core.group_records import CgroupRow, CommRow, UidRow
from ebpftop.core.load_records import (
    CodeLine,
    Diagnostic,
    Field,
    LineCount,
    LoadedMap,
    LoadedProgram,
    MapRow,
    ProgramRun,
    Register,
)
from ebpftop.core.own_programs import OwnMap, OwnProgram
from ebpftop.core.process_records import EnvDifference, Killer
from ebpftop.core.program_records import ProgramMap, ProgramOwner, ProgramRow, ProgramTotals
from ebpftop.core.records import Attempt
from ebpftop.core.state_records import BlockedCall, CpuStates, MachineStates, ProcessStates, ThreadNow, Waker
from ebpftop.core.syscall_records import Awaited, InFlight, ProcessCalls, ProcessTotal, SyscallRow, TableSlot, UserCalls
from ebpftop.core.trace_records import PrintingProgram
from ebpftop.core.user_records import UserRow
from ebpftop.probes.registry import registry

PAGE = (Path(__file__).parents[2] / "docs" / "records.md").read_text()

# Parts of records have no kind; the page gives them these names.
PARTS: dict[type[msgspec.Struct], str] = {
    Attempt: "attempt",
    EndingRow: "ending",
    UserRow: "user",
    SyscallRow: "call",
    InFlight: "flight",
    Awaited: "awaited",
    ProcessCalls: "caller",
    ProcessTotal: "total",
    UserCalls: "caller_user",
    EnvDifference: "env_difference",
    Killer: "killer",
    TableSlot: "slot",
    PrintingProgram: "program",
    ProgramRow: "bpf_program",
    ProgramOwner: "owner",
    ProgramMap: "bpf_map",
    ProgramTotals: "machine",
    CgroupRow: "cgroup",
    CommRow: "comm_total",
    UidRow: "uid_total",
    ProcessStates: "waiting",
    BlockedCall: "blocked_in",
    Waker: "waker",
    ThreadNow: "thread",
    MachineStates: "whole_machine",
    CpuStates: "cpu",
    LoadedProgram: "loaded_program",
    LoadedMap: "loaded_map",
    Field: "field",
    Diagnostic: "diagnostic",
    Register: "register",
    CodeLine: "code_line",
    ProgramRun: "program_run",
    LineCount: "line_count",
    MapRow: "map_row",
    OwnProgram: "own_program",
    OwnMap: "own_map",
}
STRUCTS: dict[str, type[msgspec.Struct]] = {
    **{str(record.__struct_config__.tag): record for record in registry().kinds.values()},
    **{name: part for part, name in PARTS.items()},
}
SIMPLE = {int: "integer", float: "number", str: "string", bool: "boolean", object: "value", type(None): "null"}


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Return type and meaning of each field of each section of the page."""
    sections: dict[str, dict[str, tuple[str, str]]] = {}
    for part in re.split(r"^#{3,4} ", PAGE, flags=re.MULTILINE)[1:]:
        name = part.partition("\n")[0].strip("`")
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", part, flags=re.MULTILINE)
        assert len({row[0] for row in rows}) == len(rows), f"{name} has a field twice"
        sections[name] = {field: (kind, meaning) for field, kind, meaning in rows}
    return sections


def in_words(annotation: object) -> str:
    """Return what the page calls a type."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "string"
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(arg) for arg in args)
    if origin is tuple:
        return f"array of {in_words(args[0])}"
    if origin is dict:
        return f"object of {in_words(args[1])}"
    for known, word in (*SIMPLE.items(), *PARTS.items()):
        if annotation is known:
            return word
    raise AssertionError(f"no word for {annotation}")


def choices(annotation: object) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def test_every_record_has_a_section_and_every_section_a_record() -> None:
    assert documented().keys() == STRUCTS.keys()


@pytest.mark.parametrize("name", STRUCTS)
def test_every_field_is_documented_with_its_type_in_its_order(name: str) -> None:
    hints = get_type_hints(STRUCTS[name])
    wanted = [(field, in_words(hints[field])) for field in STRUCTS[name].__struct_fields__]
    assert [(field, kind) for field, (kind, _) in documented()[name].items()] == wanted


@pytest.mark.parametrize("name", STRUCTS)
def test_every_value_that_a_field_can_have_is_named(name: str) -> None:
    hints = get_type_hints(STRUCTS[name])
    for field, (_, meaning) in documented()[name].items():
        for choice in choices(hints[field]):
            assert not choice or f"`{choice}`" in meaning, f"{name}.{field} can be {choice}"
