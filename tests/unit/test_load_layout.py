"""What a program of one's own keeps in memory: read as a C compiler laid it out, and written as it was typed."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess

import pytest

from ebpftop.core.load_records import Field
from ebpftop.kernel.btf_types import BtfTypes, Kind
from ebpftop.kernel.load.layout import Layout, layout_of, members_of, unknown
from ebpftop.kernel.load.map_rows import MapRows
from ebpftop.kernel.load.meanings import Hints, meaning_of
from ebpftop.kernel.load.value_text import encoded, value_of
from ebpftop.kernel.load.values import BadValue, Struct, Text, added
from tests.unit.btf_builder import BtfBuilder

SOURCE = r"""
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64; typedef int64_t s64;
enum color { RED, GREEN = 5, BLUE = -2 };
enum plain { ONE = 1, TWO };
struct inner { u16 a; signed char b; unsigned char c; };
struct all {
    u32 pid;
    u64 delta_ns;
    s64 low;
    signed char small;
    char letter;
    bool yes, no;
    char comm[16];
    unsigned char raw[3];
    u8 name[8];
    struct inner one;
    struct inner many[2];
    int row[3];
    enum color color;
    enum plain plain, odd;
    unsigned int f1 : 3;
    int f2 : 5;
    unsigned int f3 : 17;
    enum plain f4 : 2;
    union { u32 as_number; u8 as_bytes[4]; };
    struct { u16 x; u16 y; };
    union inside { u64 whole; u32 half[2]; } u;
    void *where;
    float f;
    double d;
    u32 saddr;
    u8 mac[6];
    u8 daddr6[16];
    u16 dport;
    u64 most;
};
struct key { u32 uid; u8 failed; };
struct tail { u32 pid; char rest[]; };
struct all value; struct key key; struct tail *tail;
int main(void) {
    struct all v;
    memset(&v, 0xff, sizeof(v));  /* what lies between the members is anything */
    v.pid = 812; v.delta_ns = 123456789012ull; v.low = -9000000000ll; v.small = -7; v.letter = 'a'; v.yes = 1; v.no = 0;
    strcpy(v.comm, "bash\x1b"); memcpy(v.raw, "\x01\xfe\x00", 3); strcpy((char *)v.name, "zoe");
    v.one = (struct inner){65535, -128, 255}; v.many[0] = (struct inner){1, 2, 3}; v.many[1] = (struct inner){4, -5, 6};
    v.row[0] = -2; v.row[1] = -1; v.row[2] = 0;
    v.color = BLUE; v.plain = TWO; v.odd = 77; v.f1 = 6; v.f2 = -9; v.f3 = 99999; v.f4 = TWO;
    v.as_number = 0x04030201; v.x = 10; v.y = 20; v.u.whole = 0x0000000200000001ull;
    v.where = (void *)0xffff888000001000ull;
    v.f = 1.5f; v.d = -0.1; memcpy(&v.saddr, "\x0a\0\0\x07", 4); memcpy(v.mac, "\x02\0\0\xaa\xbb\xcc", 6);
    memset(v.daddr6, 0, 16); v.daddr6[15] = 1; v.dport = 443; v.most = UINT64_MAX;
    fwrite(&v, sizeof(v), 1, stdout);
    return 0;
}
"""
EXPECTED = {
    "pid": 812, "delta_ns": 123456789012, "low": -9000000000, "small": -7, "letter": 97, "yes": True, "no": False,
    "comm": "bash\\x1b", "raw": "01fe00", "name": "zoe", "one": {"a": 65535, "b": -128, "c": 255},
    "many": [{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": -5, "c": 6}], "row": [-2, -1, 0],
    "color": "BLUE", "plain": "TWO", "odd": 77, "f1": 6, "f2": -9, "f3": 99999, "f4": "TWO",
    "as_number": 0x04030201, "as_bytes": "01020304", "x": 10, "y": 20, "u": {"whole": 0x200000001, "half": [1, 2]},
    "where": 0xFFFF888000001000, "f": 1.5, "d": -0.1, "saddr": "10.0.0.7", "mac": "02:00:00:aa:bb:cc", "daddr6": "::1",
    "dport": 443, "most": (1 << 64) - 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[BtfTypes, bytes]:
    """Return the types of the program above as gcc describes them, and the `struct all` that it printed."""
    gcc, objcopy = shutil.which("gcc"), shutil.which("objcopy")
    if gcc is None or objcopy is None:
        pytest.skip("no gcc")
    where = tmp_path_factory.mktemp("layout")
    source, program, blob = where / "all.c", where / "all", where / "btf"
    source.write_text(SOURCE)
    made = subprocess.run([gcc, "-gbtf", "-O0", "-o", program, source], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcc writes no BTF: {made.stderr[-300:]}")
    subprocess.run([objcopy, "--dump-section", f".BTF={blob}", program], check=True)
    return BtfTypes(blob.read_bytes()), subprocess.run([program], capture_output=True, check=True).stdout


def layout(types: BtfTypes, name: str, hints: dict[str, str] | None = None) -> Layout:
    number = types.find(Kind.STRUCT, name)
    assert number is not None
    return layout_of(types, number, Hints(hints or {}, "m", "value"))


def field(whole: Layout, path: str) -> Field:
    found = whole.at(path)
    assert found is not None
    return found[0].field


def test_every_shape_of_c_is_read_as_the_compiler_laid_it_out(compiled: tuple[BtfTypes, bytes]) -> None:
    types, data = compiled
    whole = layout(types, "all")
    assert whole.size == len(data)
    assert whole.decode(data) == EXPECTED
    assert json.loads(json.dumps(whole.decode(data))) == EXPECTED


def test_the_types_are_written_as_in_c(compiled: tuple[BtfTypes, bytes]) -> None:
    whole = layout(compiled[0], "all")
    types = {one.name: one.type for one in whole.field.fields}
    assert [types[name] for name in ("pid", "comm", "row", "one", "many", "where", "u", "color")] == [
        *("u32", "char[16]", "int[3]", "struct inner", "struct inner[2]", "void *", "union inside", "enum color"),
    ]
    assert field(whole, "color").values == {"RED": 0, "GREEN": 5, "BLUE": -2}
    assert field(whole, "f3").bits == 17
    assert field(whole, "row").count == 3


def test_what_is_read_is_written_back_as_the_same_bytes(compiled: tuple[BtfTypes, bytes]) -> None:
    types, data = compiled
    whole = layout(types, "all")
    without = {name: value for name, value in EXPECTED.items() if name not in ("comm", "as_bytes")}
    assert whole.decode(encoded(whole, json.dumps(without), data)) == EXPECTED
    assert encoded(whole, "f1=6 f2=-9 f3=99999 f4=TWO", data) == data


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("pid", "0x10", 16),
        ("pid", "010", 10),
        ("delta_ns", "5ms", 5_000_000),
        ("most", "2k", 2000),
        ("small", "-128", -128),
        ("letter", "'b'", 98),
        ("yes", "false", False),
        ("comm", "zsh -l", "zsh -l"),
        ("comm", '"a\\"b"', 'a"b'),
        ("raw", "0a0b0c", "0a0b0c"),
        ("color", "GREEN", "GREEN"),
        ("color", "1", 1),
        ("f2", "15", 15),
        ("f4", "ONE", "ONE"),
        ("one", "a=1 c=3", {"a": 1, "b": -128, "c": 3}),
        ("one", '{"b": 9}', {"a": 65535, "b": 9, "c": 255}),
        ("one.b", "4", {"a": 65535, "b": 4, "c": 255}),
        ("many", "1.b=7 [0].a=8", [{"a": 8, "b": 2, "c": 3}, {"a": 4, "b": 7, "c": 6}]),
        ("row", "[1,2,3]", [1, 2, 3]),
        ("row", "[1]=9", [-2, 9, 0]),
        ("saddr", "192.168.1.2", "192.168.1.2"),
        ("daddr6", "fe80::1", "fe80::1"),
        ("mac", "aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff"),
        ("d", "1e300", 1e300),
        ("where", "0xffff888000001000", 0xFFFF888000001000),
        ("most", "18446744073709551615", (1 << 64) - 1),
    ],
)
def test_a_cell_is_written_as_it_is_typed(compiled: tuple[BtfTypes, bytes], path: str, text: str, read: object) -> None:
    types, data = compiled
    whole = layout(types, "all")
    name = path.partition(".")[0]
    written = whole.decode(encoded(whole, text, data, path))
    assert written == {**EXPECTED, name: read}


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("pid", "-1", "-1 is beyond u32: 0 to 4294967295"),
        ("pid", "4294967296", "is beyond u32"),
        ("pid", "5ms", "5ms is neither a number nor a process that runs"),
        ("pid", "", "nothing is neither a number"),
        ("most", "", "nothing is not a whole number"),
        ("most", "bash", "bash is not a whole number"),
        ("small", "128", "128 is beyond signed char: -128 to 127"),
        ("f1", "8", "8 is beyond 3 bits: 0 to 7"),
        ("f2", "16", "16 is beyond 5 bits: -16 to 15"),
        ("comm", "sixteen letters.", "it has room for 15 bytes of text, this has 16"),
        ("color", "PINK", "PINK is none of RED, GREEN, BLUE"),
        ("yes", "maybe", "maybe is neither true nor false"),
        ("one", "d=1", "d is none of its members a, b, c"),
        ("one", "7", "7 is not NAME=VALUE"),
        ("one", '{"a": "x"}', "x is not a whole number"),
        ("one", "{", "is not JSON"),
        ("many", "2.a=1", "2 is not the number of an element, 0 to 1"),
        ("row", "[1]", "it has 3 elements"),
        ("saddr", "10.0.0", "10.0.0 is not an address, as 10.0.0.7"),
        ("raw", "0a", "it has 3 bytes, this has 1"),
        ("nothing", "1", "there is no nothing"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    compiled: tuple[BtfTypes, bytes], path: str, text: str, why: str
) -> None:
    types, data = compiled
    with pytest.raises(BadValue) as refused:
        encoded(layout(types, "all"), text, data, path)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("path", "text", "read"),
    [
        ("pid", "bash", 4711),
        ("pid", "4711 bash", 4711),
        ("pid", "12 of another", 12),
        ("delta_ns", "1.2 ms", 1_200_000),
        ("delta_ns", "2m00s", 120_000_000_000),
        ("delta_ns", "6h24m", 23_040_000_000_000),
        ("most", "9.19 kB", 9190),
        ("most", "631 MB", 631_000_000),
        ("most", "4 KiB", 4096),
        ("most", "7 B", 7),
    ],
)
def test_what_is_shown_can_be_typed(compiled: tuple[BtfTypes, bytes], path: str, text: str, read: int) -> None:
    def resolve(field: Field, name: str) -> int | None:
        return 4711 if (field.meaning, name) == ("pid", "bash") else None

    whole = layout(compiled[0], "all")
    written = whole.decode(encoded(whole, text, compiled[1], path, resolve))
    assert written == {**EXPECTED, path: read}


def test_a_number_with_the_name_of_another_one_is_refused(compiled: tuple[BtfTypes, bytes]) -> None:
    with pytest.raises(BadValue, match="bash is 4711, not 12"):
        encoded(layout(compiled[0], "all"), "12 bash", compiled[1], "pid", lambda _, name: 4711)


def test_a_new_key_is_typed_member_by_member(compiled: tuple[BtfTypes, bytes]) -> None:
    key = layout(compiled[0], "key")
    assert encoded(key, "uid=1000 failed=1") == b"\xe8\x03\0\0\x01\0\0\0"


def test_a_structure_with_one_member_is_typed_as_that_member() -> None:
    text = Field(name="t", type="char[16]", kind="string", size=16)
    one = Field(type="struct text", kind="struct", size=16, fields=(text,))
    for typed in ("Hi root", '"Hi root"', 't="Hi root"'):
        assert value_of(one, typed) == {"t": "Hi root"}
    assert value_of(one, "it's") == {"t": "it's"}
    number = Field(name="n", type="u32", kind="uint", size=4)
    assert value_of(Field(type="struct n", kind="struct", size=4, fields=(number,)), "7") == {"n": 7}
    with pytest.raises(BadValue, match=r"^root is not NAME=VALUE; write t=… n=…, texts with blanks in quotes$"):
        value_of(Field(type="struct two", kind="struct", size=20, fields=(text, number)), "t=Hi root")


def test_an_event_that_is_cut_has_what_came(compiled: tuple[BtfTypes, bytes]) -> None:
    types, data = compiled
    read = layout(types, "all").decode(data[:12])
    assert isinstance(read, dict)
    assert (read["pid"], read["delta_ns"], read["comm"], read["one"], read["d"]) == (
        *(812, None, None, {"a": None, "b": None, "c": None}, None),
    )


def test_the_last_member_without_a_length_has_what_is_left(compiled: tuple[BtfTypes, bytes]) -> None:
    assert layout(compiled[0], "tail").decode(b"\x07\0\0\0hello\0") == {"pid": 7, "rest": "hello"}
    assert layout(compiled[0], "tail").decode(b"\x07\0\0\0") == {"pid": 7, "rest": ""}


def test_hints_of_the_file_are_above_names(compiled: tuple[BtfTypes, bytes]) -> None:
    types, data = compiled
    hints = {"m.pid": "bytes", "m.value.dport": "number", "m.raw": "string", "m.name": "hex"}
    hints |= {"other.most": "uid", "m.saddr": "number"}
    whole = layout(types, "all", hints)
    meanings = {name: field(whole, name).meaning for name in ("pid", "dport", "delta_ns", "most", "saddr")}
    assert meanings == {"pid": "bytes", "dport": "", "delta_ns": "ns", "most": "", "saddr": ""}
    read = whole.decode(data)
    assert isinstance(read, dict)
    assert (read["raw"], read["name"][:8], read["saddr"]) == ("\\x01\\xfe", "7a6f6500", 0x0700000A)


@pytest.mark.parametrize(
    ("name", "size", "meaning"),
    [
        *(
            ("pid", 4, "pid"),
            ("tgid", 4, "pid"),
            ("ppid", 4, "pid"),
            ("tid", 4, "tid"),
            ("uid", 4, "uid"),
            ("ts", 8, "time"),
        ),
        *(("ts_us", 8, ""), ("delta_us", 8, ""), ("delta", 8, "ns"), ("latency_ns", 8, "ns"), ("saddr", 4, "ip4")),
        *(
            ("saddr", 8, ""),
            ("lport", 2, "port"),
            ("ret", 4, "ret"),
            ("kern_stack_id", 4, "stack"),
            ("user_stack_id", 4, "stack"),
        ),
        *(
            ("size", 8, "bytes"),
            ("count", 8, ""),
            ("slot", 8, "slot"),
            ("ip", 8, ""),
            ("errno", 4, "errno"),
            ("cpu", 4, "cpu"),
        ),
    ],
)
def test_names_say_what_numbers_mean(name: str, size: int, meaning: str) -> None:
    assert meaning_of(name, "uint", size) == meaning


def test_values_of_all_cpus_are_added_where_they_are_counts(compiled: tuple[BtfTypes, bytes]) -> None:
    values = [{"n": 1, "comm": "", "ts": 0, "h": [1, 2]}, {"n": 5, "comm": "sh", "ts": 7, "h": [10, 20]}]
    assert added(values, lambda path: path != "ts") == {"n": 6, "comm": "sh", "ts": 7, "h": [11, 22]}
    assert added([(1 << 64) - 1, 3], lambda _: True) == 2


def test_arrays_of_arrays_are_read_row_by_row() -> None:
    # As clang describes them; gcc 12 has the lengths the wrong way round.
    made = BtfBuilder()
    grid = made.array(made.array(made.integer("int", 4, encoding=1), 3), 2)
    words = made.array(made.array(made.integer("char", 1, encoding=1), 4), 2)
    types = BtfTypes(made.blob())
    whole = layout_of(types, grid, Hints({}, "m", "value"))
    data = struct.pack("<6i", -2, -1, 0, 1, 2, 3)
    assert (whole.field.type, whole.decode(data)) == ("int[2][3]", [[-2, -1, 0], [1, 2, 3]])
    assert whole.decode(encoded(whole, "[1][2]=9", data)) == [[-2, -1, 0], [1, 2, 9]]
    assert whole.decode(encoded(whole, "[[1,1,1],[2,2,2]]", data)) == [[1, 1, 1], [2, 2, 2]]
    text = layout_of(types, words, Hints({}, "m", "value"))
    assert (text.field.type, text.decode(b"ab\0\0cdef")) == ("char[2][4]", ["ab", "cdef"])


def test_types_within_themselves_end_somewhere() -> None:
    made = BtfBuilder()
    number = made.integer("int", 4)
    for _ in range(40):
        number = made.composite("s", 4, [("a", number, 0)])
    value = layout_of(BtfTypes(made.blob()), number, Hints({}, "m", "value")).decode(b"\x01\0\0\0")
    depth = 0
    while isinstance(value, dict):
        value, depth = value["a"], depth + 1
    assert (value, depth) == ("01000000", 16)


def test_a_structure_is_found_by_its_name(compiled: tuple[BtfTypes, bytes]) -> None:
    assert members_of(compiled[0], "inner") == compiled[0].find(Kind.STRUCT, "inner")
    assert members_of(compiled[0], "nothing") is None


def test_keys_whose_text_begins_with_nul_are_told_apart_by_their_bytes() -> None:
    text = Field(type="char[8]", kind="string", size=8)
    key = Layout(Field(type="struct k_t", kind="struct", size=8, fields=(text,)), Struct(8, (("comm", 0, Text(8)),)))
    rows = MapRows(key, unknown(4), lambda *_: None)
    keys = [b"ls\0\0\0\0\0\0", bytes(8), b"\0x\0\0\0\0\0\0"]
    assert {row.key["comm"] for row in rows.rows(keys, [bytes(4)] * 3) if isinstance(row.key, dict)} == {
        "ls",
        "",
        "0x0078",
    }
