"""What is read of an object of LLVM, and what is written into it."""

from __future__ import annotations

import struct

import pytest

from ebpftop.kernel.btf_types import BtfTypes
from ebpftop.kernel.load import object_file
from ebpftop.kernel.load.built import Built, BuiltProgram
from ebpftop.kernel.load.loading import LineInfo
from ebpftop.kernel.load.object_file import LINE_INFO
from ebpftop.kernel.load.source_lines import with_texts
from ebpftop.kernel.load.type_equality import shape
from tests.unit.btf_builder import BtfBuilder

SOURCE = ["int hello(void *ctx) {", "    return 7;", "}"]
PLACE = 2 << 10 | 5


def elf(**sections: bytes) -> bytes:
    names = b"\0" + b"".join(f".{name}\0".encode() for name in (*sections, "names"))
    contents = [b"", *sections.values(), names]
    at, body, headers = 64, b"", b""
    for name, content in zip(("", *sections, "names"), contents, strict=True):
        name_at = names.index(f".{name}\0".encode()) if name else 0
        headers += struct.pack("=IIQQQQIIQQ", name_at, 1, 0, 0, at + len(body), len(content), 0, 0, 1, 0)
        body += content
    head = b"\x7fELF\x02" + bytes(11)
    head += struct.pack(
        "=HHIQQQIHHHHHH", 1, 247, 1, 0, 0, at + len(body), 0, 64, 0, 0, 64, len(contents), len(contents) - 1
    )
    return head + body + headers


def blob_with(*names: str) -> tuple[bytes, dict[str, int]]:
    builder = BtfBuilder()
    builder.integer("int", 4)
    return_at = {name: builder.name(name) for name in names}
    return builder.blob(), return_at


def ext(section_at: int, functions: list[tuple[int, ...]], lines: list[tuple[int, ...]], extra: int = 0) -> bytes:
    parts = []
    for records in (functions, lines):
        form = f"={len(records[0])}I{extra}x"
        data = b"".join(struct.pack(form, *record) for record in records)
        parts.append(struct.pack("=III", struct.calcsize(form), section_at, len(records)) + data)
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(parts[0]), len(parts[0]), len(parts[1]))
    return head + b"".join(parts)


@pytest.mark.parametrize("extra", [0, 8], ids=["", "of a newer LLVM"])
def test_lines_and_functions_of_each_section_are_read(extra: int) -> None:
    blob, at = blob_with(".bpf.fn.hello", "/hello.c")
    data = ext(at[".bpf.fn.hello"], [(0, 9)], [(0, at["/hello.c"], 0, PLACE), (24, at["/hello.c"], 0, PLACE)], extra)
    section = object_file.section(elf(text=b"code", ext=data), ".ext")
    assert section == data
    info = object_file.ext_info(section, object_file.btf_strings(blob))
    assert info.functions == {".bpf.fn.hello": [(0, 9)]}
    assert info.lines == {".bpf.fn.hello": [(0, at["/hello.c"], 0, PLACE), (3, at["/hello.c"], 0, PLACE)]}


def test_what_is_no_object_has_no_sections() -> None:
    assert object_file.section(b"\x7fELF\x01" + bytes(100), ".ext") is None
    assert object_file.section(elf(text=b""), ".ext") is None
    with pytest.raises(ValueError, match="not a BTF extension"):
        object_file.ext_info(bytes(64), b"\0")


def test_strings_are_added_and_types_stay() -> None:
    blob, _ = blob_with("hello")
    longer, at = object_file.with_strings(blob, b"more\0")
    assert object_file.string(object_file.btf_strings(longer), at) == "more"
    assert BtfTypes(longer).type(1) == BtfTypes(blob).type(1)


@pytest.mark.parametrize(("version", "text"), [((6, 9), "return 7;"), ((6, 8), "return 7; @ hello.c:2")])
def test_the_kernel_gets_the_text_of_each_line(version: tuple[int, int], text: str) -> None:
    blob, at = blob_with("/hello.c", "/virtual/include/bcc/helpers.h")
    lines = [
        (0, at["/hello.c"], 0, PLACE),
        (1, at["/hello.c"], 0, 99 << 10),
        (2, at["/virtual/include/bcc/helpers.h"], 0, PLACE),
    ]
    built = Built(
        programs=(BuiltProgram("hello", b"", b"", b"".join(LINE_INFO.pack(*line) for line in lines)),),
        btf=blob,
        file_names={number: name for name, number in at.items()},
    )
    lined = with_texts(built, "hello.c", SOURCE, version)
    written = list(LINE_INFO.iter_unpack(lined.raw["hello"]))
    assert object_file.string(object_file.btf_strings(lined.btf), written[0][2]) == text
    assert (written[1][2], written[2][2]) == (written[0][2], 0)
    assert lined.lines["hello"] == (
        LineInfo(0, 2, 5, "hello.c", "return 7;"),
        LineInfo(1, 2, 5, "hello.c", "return 7;"),
        LineInfo(2, 2, 5, "/virtual/include/bcc/helpers.h", ""),
    )


def test_what_is_of_no_line_of_the_file_has_the_next_one() -> None:
    blob, at = blob_with("/hello.c")
    lines = [(0, at["/hello.c"], 0, 4 << 10), (1, at["/hello.c"], 0, PLACE), (2, at["/hello.c"], 0, 1 << 10)]
    built = Built(
        programs=(BuiltProgram("hello", b"", b"", b"".join(LINE_INFO.pack(*line) for line in lines)),),
        btf=blob,
        file_names={number: name for name, number in at.items()},
    )
    assert [one.line for one in with_texts(built, "hello.c", SOURCE, (6, 9)).lines["hello"]] == [2, 2, 1]


def test_without_types_there_are_no_lines() -> None:
    built = Built(programs=(BuiltProgram("hello", b"", b"", LINE_INFO.pack(0, 1, 0, PLACE)),))
    assert with_texts(built, "hello.c", SOURCE, (6, 9)).raw == {"hello": b""}


def types() -> tuple[BtfTypes, dict[str, int]]:
    """Pairs of types; of those that begin alike both mean the same."""
    made = BtfBuilder()
    u32, s32, u64 = made.integer("u32", 4), made.integer("int", 4, encoding=1), made.integer("u64", 8)
    own = made.typedef("own_t", u32)
    numbers = {
        "u32": u32, "s32": s32, "u64": u64, "u32 by another name": own,
        "array of 4": made.array(u32, 4), "array of 5": made.array(u32, 5),
        "pair": made.composite("pair", 8, [("a", u32, 0), ("b", u32, 32)]),
        "pair by another name": made.composite("two", 8, [("a", own, 0), ("b", u32, 32)]),
        "pair whose member is renamed": made.composite("pair", 8, [("c", u32, 0), ("b", u32, 32)]),
        "pair of bits": made.composite("pair", 8, [("a", u32, 0, 3), ("b", u32, 32, 32)]),
        "enum": made.enum("e", {"A": 0}), "enum of other constants": made.enum("e", {"A": 1}),
    }  # fmt: skip
    numbers["list"] = made.composite("list", 8, [("next", made.pointer(u64), 0)])
    return BtfTypes(made.blob()), numbers


def test_types_are_the_same_if_they_mean_the_same() -> None:
    found, numbers = types()
    shapes = {name: shape(found, number) for name, number in numbers.items()}
    assert None not in shapes.values()
    same = {(a, b) for a in shapes for b in shapes if a < b and shapes[a] == shapes[b]}
    assert same == {("u32", "u32 by another name"), ("pair", "pair by another name")}
    assert shape(found, 0) is None
    assert shape(found, 999) is None


def test_types_without_end_are_not_understood() -> None:
    made = BtfBuilder()
    made.array(1, 2)
    assert shape(BtfTypes(made.blob()), 1) is None
