"""Reading BTF: a blob of a program, of a kernel and of a module."""

from __future__ import annotations

import pytest

from ebpftop.kernel.btf import Btf
from ebpftop.kernel.btf_types import VOID, BtfTypes, Constant, Kind, Member
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.load.layout import layout_of
from ebpftop.kernel.load.meanings import Hints
from tests.unit.btf_builder import BtfBuilder


def small() -> tuple[BtfBuilder, dict[str, int]]:
    build = BtfBuilder()
    ids = {"u32": build.integer("unsigned int", 4), "char": build.integer("char", 1, encoding=3)}
    ids["comm"] = build.array(ids["char"], 16)
    ids["pair"] = build.array(ids["comm"], 2)
    ids["inner"] = build.composite("", 8, [("low", ids["u32"], 0), ("high", ids["u32"], 32)], kind=Kind.UNION)
    ids["task"] = build.composite(
        "task",
        48,
        [("pid", ids["u32"], 0), ("", ids["inner"], 64), ("flag", ids["u32"], 128, 3), ("comms", ids["pair"], 160)],
    )
    ids["name"] = build.typedef("task_t", build.add(Kind.CONST, "", ids["task"]))
    ids["pointer"] = build.pointer(ids["name"])
    return build, ids


def test_what_a_type_is_and_what_it_has() -> None:
    build, ids = small()
    types = BtfTypes(build.blob())
    char = types.type(ids["char"])
    assert (char.kind, char.name, char.size, char.signed, char.is_char, char.width) == (
        Kind.INT,
        "char",
        1,
        True,
        True,
        8,
    )
    task = types.type(ids["task"])
    assert (task.kind, task.name, task.size) == (Kind.STRUCT, "task", 48)
    assert task.members == (
        Member("pid", ids["u32"], 0),
        Member("", ids["inner"], 64),
        Member("flag", ids["u32"], 128, 3),
        Member("comms", ids["pair"], 160),
    )
    assert types.type(ids["pair"])[4:6] == (ids["comm"], 2)
    assert types.type(0) == VOID
    assert len(types) == ids["pointer"] + 1


def test_sizes_and_what_is_behind_a_name() -> None:
    build, ids = small()
    types = BtfTypes(build.blob())
    assert [types.size_of(ids[name]) for name in ("u32", "comm", "pair", "inner", "name", "pointer")] == [
        4,
        16,
        32,
        8,
        48,
        8,
    ]
    assert types.size_of(0) == 0
    assert types.bare(ids["name"]).id == ids["task"]
    assert types.bare(ids["pointer"]).id == ids["pointer"]


def test_offsets_go_through_anonymous_members() -> None:
    build, _ = small()
    btf = Btf(build.blob())
    assert [btf.offset("task", name) for name in ("pid", "high", "comms")] == [0, 12, 20]
    assert not btf.has("task", "absent")
    with pytest.raises(BtfError, match="has no absent"):
        btf.offset("task", "absent")
    with pytest.raises(BtfError, match="has no other"):
        btf.size("other")


def test_constants_are_signed_where_they_were_meant_to_be() -> None:
    build = BtfBuilder()
    old = build.enum("old", {"MINUS": -1, "BIG": 0x80000000, "ONE": 1})
    new = build.enum("new", {"LEAST": -(1 << 31)}, size=1, signed=True)
    wide = build.enum64("wide", {"HUGE": 1 << 63})
    below = build.enum64("below", {"UNDER": -2}, signed=True)
    types = BtfTypes(build.blob())
    assert types.type(old).constants == (Constant("MINUS", -1), Constant("BIG", 0x80000000), Constant("ONE", 1))
    assert types.type(new).constants == (Constant("LEAST", -(1 << 31)),)
    assert types.type(new).size == 1
    assert types.type(wide).constants == (Constant("HUGE", 1 << 63),)
    assert types.type(below).constants == (Constant("UNDER", -2),)


def test_functions_have_parameters_and_a_result() -> None:
    build = BtfBuilder()
    number = build.integer("int", 4, encoding=1)
    proto = build.function_type(number, [("fd", number), ("", 0)])
    build.add(Kind.FUNC, "do_it", proto, count=1)
    types = BtfTypes(build.blob())
    function = types.type(types.find(Kind.FUNC, "do_it") or 0)
    assert types.type(function.target).target == number
    assert types.type(function.target).members == (Member("fd", number), Member("", 0))
    assert list(types.named(Kind.FUNC)) == [(proto + 1, "do_it")]


def test_of_two_types_with_one_name_the_first_is_found() -> None:
    build = BtfBuilder()
    first = build.composite("twice", 4, [])
    build.composite("twice", 8, [])
    typedef = build.typedef("twice", first)
    types = BtfTypes(build.blob())
    assert types.find(Kind.STRUCT, "twice") == first
    assert types.find(Kind.TYPEDEF, "twice") == typedef
    assert types.find(Kind.UNION, "twice") is None
    assert types.find(Kind.STRUCT, "twi") is None


def test_a_module_goes_on_where_the_kernel_ends() -> None:
    build, ids = small()
    kernel = BtfTypes(build.blob())
    module = BtfBuilder(first=len(kernel), names_before=kernel.names_end)
    own = module.composite("own", 48, [("task", ids["task"], 0)])
    types = BtfTypes(module.blob(), kernel)
    assert own == len(kernel)
    assert types.find(Kind.STRUCT, "own") == own
    assert types.find(Kind.STRUCT, "task") == ids["task"]
    assert types.type(own).members == (Member("task", ids["task"]),)
    assert types.type(ids["task"]).name == "task"
    assert (types.raw_name(own), types.raw_name(ids["task"])) == (b"own", b"task")
    assert types.size_of(own) == 48


def test_a_blob_that_is_cut_or_wrong_is_refused() -> None:
    build, _ = small()
    blob = build.blob()
    for cut in range(len(blob)):
        with pytest.raises(BtfError):
            BtfTypes(blob[:cut])
    with pytest.raises(BtfError, match="unknown format"):
        BtfTypes(b"\0\0" + blob[2:])
    types = BtfTypes(blob)
    for number in (-1, len(types)):
        with pytest.raises(BtfError, match="no type"):
            types.type(number)
    unknown = BtfBuilder()
    number = unknown.add(25, "later")
    with pytest.raises(BtfError, match="unknown kind"):
        BtfTypes(unknown.blob()).type(number)


@pytest.mark.parametrize("kind", [Kind.TYPEDEF, Kind.CONST, Kind.VOLATILE])
def test_a_type_of_itself_has_nothing_behind_it(kind: Kind) -> None:
    build = BtfBuilder()
    own = build.add(kind, "own" if kind == Kind.TYPEDEF else "", 1)
    first = build.typedef("first", 3)
    second = build.typedef("second", 2)
    array = build.array(4, 2)
    variable = build.add(Kind.VAR, "one", 5, [0])
    types = BtfTypes(build.blob())
    for number in (own, first, second):
        with pytest.raises(BtfError, match="without end"):
            types.bare(number)
    for number in (own, second, array, variable):
        with pytest.raises(BtfError, match="without end"):
            types.size_of(number)
        with pytest.raises(BtfError, match="without end"):
            layout_of(types, number, Hints({}, "own", "value"))


def test_what_is_behind_many_names_is_found() -> None:
    build = BtfBuilder()
    last = build.integer("int", 4)
    for at in range(30):
        last = build.typedef(f"t{at}", last)
    for _ in range(20):
        last = build.array(last, 1)
    types = BtfTypes(build.blob())
    assert types.size_of(last) == 4
