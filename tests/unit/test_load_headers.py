"""Headers from BTF: what is declared, from types that are made here."""

from __future__ import annotations

import re

from ebpftop.kernel.btf_types import Kind
from ebpftop.kernel.load import header_macros, kernel_config
from ebpftop.kernel.load.bcc_names import BccNames, defined, tag, without_comments
from ebpftop.kernel.load.c_types import Declarations
from ebpftop.kernel.load.headers import KernelFacts, headers_for
from ebpftop.kernel.load.kernel_types import KernelTypes
from tests.unit.btf_builder import BtfBuilder

NO_BCC = BccNames(frozenset(), frozenset())


def declared(
    build: BtfBuilder, name: str, *words: str, before: tuple[str, ...] = (), after: tuple[str, ...] = ()
) -> str:
    """The declarations that *name* needs, without what is the same for each struct, and with pads of one name."""
    types = KernelTypes(build.blob())
    found = types.find((Kind.STRUCT, Kind.UNION, Kind.TYPEDEF, Kind.ENUM, Kind.ENUM64), name)
    assert found is not None
    declarations = Declarations(types, words, before, after)
    declarations.add(found)
    text = re.sub(r"__(pad|e)\d+", r"__\1", declarations.text())
    return text.replace("__attribute__", "")


def test_gaps_are_named_and_structs_packed() -> None:
    build = BtfBuilder()
    number, byte = build.integer("int", 4, encoding=1), build.integer("char", 1, encoding=3)
    build.composite("gap", 24, [("a", byte, 0), ("b", number, 32), ("c", byte, 128)])
    assert declared(build, "gap") == (
        "struct gap { char a; char __pad[3]; int b; char __pad[8]; char c; char __pad[7]; } ((packed, aligned(8)));"
    )


def test_alignment_divides_the_size() -> None:
    build = BtfBuilder()
    byte = build.integer("char", 1, encoding=3)
    for name, size, align in (
        ("odd", 3, ""),
        ("two", 6, ", aligned(2)"),
        ("four", 12, ", aligned(4)"),
        ("none", 0, ""),
    ):
        build.composite(name, size, [("a", byte, 0)] if size else [])
        assert declared(build, name).endswith(f"((packed{align}));")


def test_bit_fields_and_the_bits_between_them() -> None:
    build = BtfBuilder()
    number = build.integer("unsigned int", 4)
    build.composite("bits", 8, [("a", number, 0, 3), ("b", number, 5, 6), ("c", number, 32)])
    text = declared(build, "bits")
    assert (
        "unsigned int a : 3; unsigned char __pad : 2; unsigned int b : 6; unsigned char __pad : 5; char __pad[2];"
        in text
    )
    assert text.index("char __pad[2]; unsigned int c;")


def test_pointers_are_followed_by_the_names_of_their_members() -> None:
    build = BtfBuilder()
    inner = build.composite("inner", 4, [("x", build.integer("int", 4, encoding=1), 0)])
    build.composite("outer", 16, [("used", build.pointer(inner), 0), ("other", build.pointer(inner), 64)])
    assert "struct inner {" not in declared(build, "outer", "other_word")
    assert "struct inner *used; struct inner *other;" in declared(build, "outer")
    assert "struct inner {" in declared(build, "outer", "used")


def test_what_is_held_by_value_is_declared_first() -> None:
    build = BtfBuilder()
    number = build.integer("int", 4, encoding=1)
    inner = build.composite("inner", 4, [("x", number, 0)])
    union = build.composite("", 8, [("one", number, 0), ("two", build.typedef("inner_t", inner), 0)], kind=Kind.UNION)
    build.composite("outer", 20, [("", union, 0), ("many", build.array(build.array(inner, 2), 1), 64)])
    lines = declared(build, "outer").splitlines()
    assert [line.split(" {")[0] for line in lines] == ["struct inner", "typedef struct inner inner_t;", "struct outer"]
    assert "union { int one; inner_t two; char __pad[8]; } ((packed, aligned(8))); struct inner many[1][2];" in lines[2]


def test_enums_keep_size_and_sign_and_only_the_constants_that_are_used() -> None:
    build = BtfBuilder()
    build.enum("small", {"ONE": 1, "MOST": 255}, size=1)
    build.enum("signed", {"MINUS": -5, "TWO": 2}, signed=True)
    build.enum64("wide", {"HUGE": 1 << 40})
    assert declared(build, "small", "ONE") == "enum small { ONE = 1, __e_least = 1, __e_most = 255 } ((packed));"
    assert declared(build, "signed") == "enum signed { __e_least = -5, __e_most = 2 };"
    assert declared(build, "wide", "HUGE").startswith(f"enum wide {{ HUGE = {1 << 40}LL,")


def test_a_constant_is_declared_once() -> None:
    build = BtfBuilder()
    first, second = build.enum("first", {"SAME": 1}), build.enum("second", {"SAME": 1, "OTHER": 2})
    build.composite("both", 8, [("a", first, 0), ("b", second, 32)])
    assert declared(build, "both", "SAME", "OTHER").count("SAME") == 1
    assert "SAME" not in declared(build, "both", "SAME", before=("SAME",))


def test_names_that_are_taken_become_bytes_of_the_same_size() -> None:
    build = BtfBuilder()
    number = build.integer("int", 4, encoding=1)
    taken = build.composite("taken", 12, [("x", number, 0)])
    kind = build.enum("kind", {"A": 0}, size=1)
    size = build.typedef("u32", build.integer("unsigned int", 4))
    build.composite("user", 40, [("t", taken, 0), ("k", kind, 96), ("n", size, 128), ("p", build.pointer(taken), 192)])
    for place in ({"before": (tag("taken"), tag("kind"), "u32")}, {"after": (tag("taken"), tag("kind"))}):
        text = declared(build, "user", "p", **place)
        assert "struct taken {" not in text
        assert "char t[12]; unsigned char k; char __pad[3]; u32 n; char __pad[4]; struct taken *p;" in text


def test_a_struct_without_a_tag_that_points_to_itself() -> None:
    build = BtfBuilder()
    name = build.typedef("list_t", 3)
    build.composite("", 8, [("next", build.pointer(name), 0)])
    # numbers: 1 typedef, 2 pointer, 3 struct
    assert declared(build, "list_t", "next") == "typedef struct { void *next; } ((packed, aligned(8))) list_t;"


def test_of_two_structs_with_one_name_it_is_always_the_first() -> None:
    build = BtfBuilder()
    number = build.integer("int", 4, encoding=1)
    build.composite("twice", 4, [("first", number, 0)])
    second = build.composite("twice", 8, [("second", number, 0)])
    build.composite("user", 16, [("held", second, 0), ("led", build.pointer(second), 64)])
    text = declared(build, "user", "led")
    assert "struct twice { int first; }" in text
    assert "second" not in text
    assert "struct user { char held[8]; struct twice *led; }" in text


def test_va_list_and_functions() -> None:
    build = BtfBuilder()
    tag = build.composite("__va_list_tag", 24, [])
    build.composite(
        "printing", 32, [("va", build.array(tag, 1), 0), ("f", build.pointer(build.function_type(0, [])), 192)]
    )
    assert "struct printing { char va[1][24]; void *f; }" in declared(build, "printing")


def test_names_of_other_languages_are_not_written_down() -> None:
    build = BtfBuilder()
    rust = build.composite("Option<u8>", 2, [("0", build.integer("u8", 1), 0)])
    build.composite("with", 10, [("r", rust, 0), ("p", build.pointer(rust), 16)])
    assert "{ char r[2]; void *p; }" in declared(build, "with")


def test_what_a_source_defines() -> None:
    found = defined(
        without_comments("""
        // struct no_comment { };
        #define LIMIT 5
        struct key_t { struct inner { int x; } y; }; union u { int a; };
        typedef struct { int x; } value_t; typedef u64 number; typedef int (*call)(void *);
        enum colour { RED = 1, GREEN };
        static struct used *p; const volatile u32 limits[4] = {1, 2}, last;
        BPF_HASH(counts, struct inode *, u64); BPF_TABLE("array", int, u64, sums, 10);
        static inline int helper(int x) { if (x) { return 1; } return 2; }
        """)
    )
    assert found.tags == {"key_t", "inner", "u", "colour"}
    assert found.typedefs == {"value_t", "number", "call"}
    assert found.constants == {"RED", "GREEN"}
    assert found.macros == {"LIMIT"}
    assert {"p", "last", "counts", "sums", "helper"} <= found.variables
    assert not {"inode", "x", "used"} & found.variables
    assert tag("inner") in found.all
    assert "inner" not in found.all


def test_macros_bring_those_that_they_use() -> None:
    assert list(header_macros.needed({"list_entry"}, ())) == ["container_of", "list_entry"]
    assert not header_macros.needed({"list_entry"}, {"list_entry"})
    assert all(line.startswith(f"#define {name}") for name, line in header_macros.MACROS.items())


def facts(build: BtfBuilder) -> KernelFacts:
    return KernelFacts(KernelTypes(build.blob()), NO_BCC, {"CONFIG_NUMA": "1"})


def test_the_tree_has_an_empty_file_for_each_include() -> None:
    source = (
        '#include <net/sock.h>\n#include "mine.h"\n#include "linux/fs.h"\n#include <bcc/proto.h>\n#include <../../x.h>'
    )
    files = headers_for(source, facts(BtfBuilder()), own=("mine.h",))
    assert files["include/net/sock.h"] == files["include/linux/fs.h"] == ""
    assert not [name for name in files if "mine" in name or "bcc/" in name or ".." in name]
    assert "LINUX_VERSION_CODE" in files["include/linux/version.h"]


def test_types_of_tracepoints_and_of_macros_and_constants_are_declared() -> None:
    build = BtfBuilder()
    number = build.integer("int", 4, encoding=1)
    build.typedef("sector_t", number)
    build.composite("inet_sock", 4, [("x", number, 0)])
    build.enum("", {"TCP_LISTEN": 10})
    source = (
        "TRACEPOINT_PROBE(block, block_rq_issue) { return inet_sk(args)->x == TCP_LISTEN; }\n#ifdef CONFIG_NUMA\n#endif"
    )
    asked = []

    def formats(category: str, event: str) -> str:
        asked.append((category, event))
        return "\tfield:sector_t sector;\toffset:16;\tsize:8;\tsigned:0;\n"

    text = headers_for(source, facts(build), formats=formats)["include/linux/kconfig.h"]
    assert asked == [("block", "block_rq_issue")]
    for part in (
        "typedef int sector_t;",
        "struct inet_sock {",
        "TCP_LISTEN = 10",
        "#define inet_sk(",
        "#define CONFIG_NUMA 1",
    ):
        assert part in text


def test_configuration() -> None:
    text = '# CONFIG_OFF is not set\nCONFIG_ON=y\nCONFIG_MODULE=m\nCONFIG_HZ=250\nCONFIG_NAME="x"\nCONFIG_NO=n\n'
    assert kernel_config.parse(text) == {
        "CONFIG_ON": "1",
        "CONFIG_MODULE_MODULE": "1",
        "CONFIG_HZ": "250",
        "CONFIG_NAME": '"x"',
    }
