"""What clang and the verifier really printed about bad programs (load_logs/), on kernels 5.10 to 7.x, is explained.

The logs were made by BCC and bpf(2) of the file beside them; of a long one, the end is kept. A
program that another kernel refuses in other words has a log for each wording.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ebpftop.core.load_records import Diagnostic
from ebpftop.models import verifier_log
from ebpftop.models.compiler_meanings import WORDS, Words
from ebpftop.models.compiler_words import NAMES
from ebpftop.models.load_diagnostics import IncludedFile, of_compiler, of_verifier

LOGS = Path(__file__).parent / "load_logs"

# Of each program, the line that is at fault, and how the explanation begins.
CLANG: Mapping[str, tuple[int | None, str]] = {
    "called_function": (6, "BCC makes a program of every function of the"),
    "clang_array_size": (None, "The size of an array on the stack has to be a"),
    "clang_arrow": (10, "This is a pointer: its members are reached by"),
    "clang_asm_register": (2, "BCC reads the file once for this machine's own"),
    "clang_assign_const": (3, "This was declared const: it cannot be changed."),
    "clang_bit_field_address": (9, "A bit-field has no address of its own."),
    "clang_brace": (5, "A } is missing here, or further up: every bracket"),
    "clang_duplicate_table": (2, "Two maps have the same name."),
    "clang_few_arguments": (5, "Arguments are missing."),
    "clang_float": (2, "BPF programs have no floating-point numbers:"),
    "clang_goto_undefined": (4, "goto out, and there is no line out: in this function."),
    "clang_header": (1, "There is no such header here: ebpftop compiles"),
    "clang_implicit": (2, "There is no function bpf_get_current_uid here:"),
    "clang_implicit_libc": (4, "There is no function strcmp here: a BPF program"),
    "clang_incomplete": (2, "struct data_t is named, but what is in it is"),
    "clang_increment_pointer": (5, "A number is expected, and this is an address:"),
    "clang_key_by_value": (5, "An address is expected, and this is a number."),
    "clang_macro_missing": (2, "PATH_MAX is used here, and declared nowhere before."),
    "clang_many_arguments": (5, "There are more arguments than it has."),
    "clang_memcpy": (4, "memset of this many bytes, or of a size that"),
    "clang_no_member": (8, "struct data_t has no member uid (on this kernel,"),
    "clang_no_method": (5, "The map output has no operation increment: what"),
    "clang_no_table": (3, "counter_table is used here, and declared nowhere"),
    "clang_non_static": (4, "A program gets its context and at most as many"),
    "clang_printf": (2, "There is no function printf here: a BPF program"),
    "clang_quote": (2, "A text begins here with a quote"),
    "clang_redefinition": (5, "hello is there twice."),
    "clang_semicolon": (2, "A statement ends with a semicolon, and here is"),
    "clang_signed_division": (3, "BPF has no division of signed numbers."),
    "clang_stack": (8, "The variables of this function need more than"),
    "clang_string": (3, "An array cannot be given a value with =, except"),
    "clang_table_in_function": (2, "A map is declared inside a function; maps belong"),
    "clang_table_type": (1, "This is not a kind of map that BCC or this kernel"),
    "clang_undeclared": (5, "counter_tabel is used here, and declared nowhere"),
    "clang_unknown_type": (2, "uint is not a type that is known here."),
    "clang_unused_value": (6, "= gives a value, == compares. This gives one."),
    "clang_void_return": (2, "This function was declared void, so it returns"),
    "perf_output_as_ring": (5, "The map output has no operation ringbuf_output:"),
    "printk_arguments": (3, "bpf_trace_printk prints three numbers at most."),
}
VERIFIER: Mapping[str, tuple[int | None, str]] = {
    "beyond_reserved": (7, "This memory has 8 bytes; this accesses 8 at offset"),
    "beyond_value": (11, "A value of the map has 64 bytes; this accesses"),
    "bound_lost": (10, "The value in r2 is a size that may be negative,"),
    "call_to_nowhere": (None, "A function of the program does not end with a"),
    "called_static": (6, "A function of the program does not end with a"),
    "clang_global": (4, "This uses a global or static variable, or a text"),
    "clang_key_by_value": (5, "counter_table.lookup needs the address of memory"),
    "clang_pragma_unroll": (4, "Too many branches follow one another: the verifier"),
    "comm_too_small": (3, "bpf_get_current_comm would go beyond the variable"),
    "ctx_moved": (4, "The context may only be read at constant offsets"),
    "ctx_offset": (2, "Offset 160 of the context cannot be accessed"),
    "ctx_write": (2, "Offset 0 of the context cannot be accessed by"),
    "ctx_write_kprobe": (3, "Offset 80 of the context cannot be accessed by"),
    "divide_by_zero": (2, "This divides by the constant 0."),
    "endless_loop": (3, "This loop never ends: it comes back with nothing"),
    "frame_pointer": (2, "r10 points to the stack and may not be changed."),
    "gpl_only": (4, "bpf_trace_printk is only for programs under the"),
    "helper_not_allowed": (2, "Programs of this kind may not call bpf_override_return:"),
    "helper_of_xdp": (2, "Programs of this kind may not call bpf_redirect:"),
    "helper_unknown": (4, "This kernel has no helper of that number: it"),
    "index_off_by_one": (12, "A value of the map has 64 bytes; this accesses"),
    "index_signed": (13, "An index is added to a pointer, and may be negative"),
    "index_unbounded": (12, "An index has no upper limit that the verifier"),
    "jumps_too_complex": (4, "Too many branches follow one another: the verifier"),
    "loop_over_string": (9, "This reads bytes of the stack that were never"),
    "map_pointer_read": (7, "Offset 0 of the context cannot be accessed by"),
    "misaligned": (3, "8 bytes are accessed at an address that is not"),
    "negative_size": (9, "The value in r2 is a size that may be negative,"),
    "no_exit": (None, "A function of the program does not end with a"),
    "no_result": (None, "There is an instruction that no path leads to:"),
    "no_unsigned_size_perf": (5, "This reads bytes of the stack that were never"),
    "not_a_pointer": (8, "The value in r1 is a number to the verifier,"),
    "not_a_pointer_c": (6, "The value in r1 is a number to the verifier,"),
    "null_after_branch": (10, "n may be NULL: there is no such key in the map."),
    "null_to_helper": (7, "id may be NULL, and counter_table.lookup needs"),
    "null_value": (11, "n may be NULL: there is no such key in the map."),
    "number_as_key": (5, "counter_table.lookup needs the address of memory"),
    "packet_bounds": (4, "The packet may end before this byte: the verifier"),
    "perf_submit_without_ctx": (5, "The first argument of output.perf_submit has"),
    "pointer_32": (7, "r1 was never set on this path: a variable without"),
    "pointer_and": (7, "value is a pointer, and this is not something"),
    "pointer_compare_asm": (7, "value is a pointer, and this is not something"),
    "pointer_leak": (4, "An address of the kernel would become visible"),
    "reserve_size_unknown": (5, "ring.ringbuf_reserve needs a size that is known"),
    "reserve_unchecked": (8, "e may be NULL: the buffer is full. Test it before"),
    "reserve_without_submit": (11, "What was reserved or taken (ring.ringbuf_reserve"),
    "return_value": (3, "The value that this program returns is not one"),
    "return_value_cgroup": (3, "The value that this program returns is not one"),
    "ringbuf_wrong_pointer": (9, "e is a number to the verifier, not a pointer"),
    "size_too_large": (10, "bpf_probe_read_kernel would go beyond the variable"),
    "sleepable": (5, "bpf_copy_from_user may have to wait (for memory"),
    "stack_index": (7, "An index into a variable on the stack may lead"),
    "stack_read_unset": (3, "This reads bytes of the stack that were never"),
    "stack_write_beyond": (2, "This is beyond the stack, which has 512 bytes"),
    "string_pointer": (5, "This uses a global or static variable, or a text"),
    "task_member_null": (6, "There is no such member in this structure of"),
    "task_write": (4, "This memory may only be read: it belongs to the"),
    "too_many_steps": (8, "The verifier walked a million instructions and"),
    "unbounded_loop": (4, "Too many branches follow one another: the verifier"),
    "unbounded_size": (10, "The value in r2 is a size that may be negative,"),
    "unreachable": (None, "There is an instruction that no path leads to:"),
    "unset_register": (3, "r7 was never set on this path: a variable without"),
    "wrong_map_kind": (4, "A tail call goes through a BPF_PROG_ARRAY; this"),
    "wrong_map_kind_2": (5, "bpf_map_lookup_elem does not work with this kind"),
}

# Where a kernel refuses another line, or for another reason.
ELSEWHERE: Mapping[str, tuple[int | None, str]] = {
    "jumps_too_complex.5.10": (3, "Too many branches follow one another: the verifier"),
    "no_unsigned_size_perf.5.10": (5, "output.perf_submit would go beyond the variable"),
    "reserve_without_submit.5.10": (15, "What was reserved or taken (ring.ringbuf_reserve"),
    "sleepable.5.10": (5, "Programs of this kind may not call bpf_copy_from_user:"),
    "task_member_null.5.10": (5, "This kernel has no helper of that number: it"),
    "task_write.5.10": (3, "This kernel has no helper of that number: it"),
}


def _files(is_clang: bool) -> list[str]:
    return sorted(path.name for path in LOGS.glob("*.log") if (path.name.split(".")[1] == "clang") == is_clang)


def _source(name: str) -> list[str]:
    return (LOGS / f"{name}.c").read_text().split("\n")


def _refused(name: str, kernel: str = "6.18") -> Diagnostic:
    return of_verifier("hello", (LOGS / f"{name}.{kernel}.log").read_text(), _source(name), f"{name}.c")


def _compiled(name: str) -> Diagnostic:
    return of_compiler((LOGS / f"{name}.clang.log").read_text(), _source(name), f"{name}.c")[0]


@pytest.mark.parametrize("file", _files(is_clang=False))
def test_what_the_verifier_says_is_explained_at_its_line(file: str) -> None:
    name, kernel = file.removesuffix(".log").split(".", 1)
    found = _refused(name, kernel)
    line, meaning = ELSEWHERE.get(f"{name}.{kernel}") or VERIFIER[name]
    assert (found.line, found.meaning[: len(meaning)]) == (line, meaning)
    assert found.suggestion
    assert "{" not in found.meaning.replace("struct data_t data = {}", "")


@pytest.mark.parametrize("file", _files(is_clang=True))
def test_what_the_compiler_says_is_explained_at_its_line(file: str) -> None:
    name = file.split(".")[0]
    found = _compiled(name)
    line, meaning = CLANG[name]
    assert (found.line, found.meaning[: len(meaning)]) == (line, meaning)
    assert found.suggestion


def test_every_program_has_a_log_and_every_log_an_explanation() -> None:
    programs = {path.stem for path in LOGS.glob("*.c")}
    logged = {path.name.split(".")[0] for path in LOGS.glob("*.log")}
    assert programs == logged == CLANG.keys() | VERIFIER.keys()


def test_a_missing_test_for_null_is_suggested_with_the_line_itself() -> None:
    found = _refused("null_value")
    assert found.meaning == "n may be NULL: there is no such key in the map. Test it before you use it."
    assert found.suggestion == "if (n) (*n)++;"
    assert [(one.name, one.text) for one in found.registers][:2] == [
        ("r0", "map_value_or_null(counter_table, 8 B)"),
        ("r10", "frame pointer"),
    ]
    assert found.path == (8, 10, 11)
    assert found.column == 2


def test_the_path_goes_by_the_side_of_the_branch_that_was_refused() -> None:
    # Line 13 gives the memory back; it is on the other side of the branch on line 11.
    assert _refused("reserve_without_submit").path == (7, 8, 10, 11)


def test_what_a_register_holds_is_of_the_moment_of_the_refusal() -> None:
    registers = {one.name: one.text for one in _refused("size_too_large").registers}
    assert registers["r1"] == "stack, 16 B below the frame pointer"
    assert registers["r2"] == "a number, 0..32"
    assert next(iter(registers)) == "r1"


def test_a_variable_is_known_by_the_name_that_the_source_gives_it() -> None:
    assert "id may be NULL, and counter_table.lookup needs" in _refused("null_to_helper").meaning
    assert "ring.ringbuf_discard(e, 0)" in _refused("reserve_without_submit").suggestion


def test_lines_are_found_by_the_instruction_if_the_log_has_none() -> None:
    log = "func#0 @0\nunreachable insn 4\nprocessed 0 insns (limit 1000000)"
    found = of_verifier("hello", log, ["int hello(void *ctx)", "{", "\treturn 0;", "}"], "a.c", lines={0: 1, 3: 3})
    assert found.line == 3


def test_a_refusal_without_a_word_is_explained_by_its_error_number() -> None:
    found = of_verifier("hello", "", [], error="EPERM")
    assert found.message == "the kernel refused it: EPERM"
    assert "without saying why" in found.meaning


def test_an_unknown_message_is_shown_as_it_is() -> None:
    found = of_verifier("hello", "0: (95) exit\nthis is new\nprocessed 1 insns", ["a"], "a.c")
    assert (found.message, found.meaning, found.suggestion) == ("this is new", "", "")


def test_a_number_of_instructions_behind_a_message_is_not_part_of_it() -> None:
    log = (LOGS / "wrong_map_kind.6.18.log").read_text()
    assert verifier_log.read(log).messages == ("expected prog array map for tail call",)
    assert verifier_log.read(log).processed == 3


def test_a_map_that_is_missing_is_suggested_by_what_is_done_with_it() -> None:
    assert _compiled("clang_no_table").suggestion.endswith("BPF_HASH(counter_table, u64, u64);")
    assert _compiled("clang_undeclared").suggestion == "counter_table?"
    submit = "/a.c:1:1: error: use of undeclared identifier 'events'"
    found = of_compiler(submit, ["events.perf_submit(ctx, &data, sizeof(data));"], "a.c")[0]
    assert found.suggestion.endswith("BPF_PERF_OUTPUT(events);")


def test_errors_come_before_warnings_and_notes_belong_to_them() -> None:
    output = "/a.c:1:5: warning: unused\n/a.c:1:1: error: expected '}'\n/a.c:1:2: note: to match this '{'\n"
    found = of_compiler(output, ["int x;"], "a.c")
    assert [one.severity for one in found] == ["error", "warning"]
    assert found[0].suggestion == "it belongs to the one on line 1"
    assert found[0].log
    assert not found[1].log


def test_an_error_in_another_file_says_which_and_is_about_no_line() -> None:
    found = of_compiler("/other.h:7:1: error: expected ';'", ["int x;"] * 9, "a.c")[0]
    assert (found.line, found.message) == (None, "other.h:7: expected ';'")


def test_what_is_said_of_an_included_file_is_beside_the_line_that_includes_it() -> None:
    source = ["#include <linux/fs.h>", '#include "sub/x.h"', "int hello(void *ctx) {", "}"]
    included = {
        "sub/x.h": IncludedFile(2, ['#include "x.h"', "\tu32 a", "u32 b;"]),
        "sub/x.h/x.h": IncludedFile(2, [""]),
        "x.h": IncludedFile(2, ["int hello("]),
    }
    output = (
        "In file included from /a.c:2:\n/tree/include/quoted/sub/x.h:2:6: error: expected ';' at end\n"
        "/tree/include/quoted/sub/x.h:2:6: error: use of undeclared identifier 'a'\n"
        "/tree/include/quoted/x.h:1:11: warning: something\n/a.c:4:1: error: expected ')'\n"
        "/tree/include/quoted/x.h:1:10: note: to match this '('\n"
    )
    found = of_compiler(output, source, "a.c", included)
    assert [(one.line, one.column, one.message) for one in found] == [
        (2, None, "sub/x.h:2: expected ';' at end in: u32 a"),
        (2, None, "sub/x.h:2: use of undeclared identifier 'a' in: u32 a"),
        (4, 1, "expected ')'"),
        (2, None, "x.h:1: something in: int hello("),
    ]
    assert found[2].suggestion == "it belongs to the one on x.h:1"
    assert found[0].meaning


def test_an_error_in_a_macro_of_ones_own_says_where_that_is() -> None:
    output = (
        "/a.c:2:12: error: use of undeclared identifier 'nothing'\n    return INC(k);\n           ^\n"
        "/x/x.h:1:23: note: expanded from macro 'INC'\n#define INC(x) ((x) + nothing)\n"
    )
    (found,) = of_compiler(output, ["", "    return INC(k);"], "a.c", {"x.h": IncludedFile(1, [""])})
    assert (found.line, found.column) == (2, 12)
    assert found.message == "use of undeclared identifier 'nothing', in the macro INC (x.h:1)"
    of_bcc = "/virtual/include/bcc/helpers.h:1:1: note: expanded from macro 'BPF_HASH'"
    output = f"/a.c:1:1: error: redefinition of 't'\n{of_bcc}\n"
    assert of_compiler(output, ["BPF_HASH(t);"], "a.c")[0].message == "redefinition of 't'"


def test_what_is_missing_at_the_end_of_a_file_is_beside_its_last_line() -> None:
    (found,) = of_compiler("/a.c:5:1: error: expected '}'", ["int f(void) {", "return 0;", "", ""], "a.c")
    assert (found.line, found.column) == (2, None)


def test_the_same_is_not_said_twice() -> None:
    output = "/x/x.h:1:1: error: expected ';'\n/x/x.h:1:9: error: expected ';'\n"
    assert len(of_compiler(output, ['#include "x.h"'], "a.c", {"x.h": IncludedFile(1, ["int a int b"])})) == 1


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.pattern.pattern[:40])
def test_every_explanation_can_be_filled_in(words: Words) -> None:
    names = {**dict.fromkeys(words.pattern.groupindex, "x"), **dict.fromkeys(NAMES, "x")}
    for text in (words.meaning, words.suggestion):
        assert "{{" not in text.format_map(names)


@pytest.mark.parametrize(
    "noise", ["", "\n\n", "\x00\x1b[31m", "from 1 to 2: ", "1: (85)", "; @ :", "R0=", "x" * 9_999_999]
)
def test_nothing_that_is_printed_breaks_it(noise: str) -> None:
    of_verifier("hello", noise, ["int x;"], "a.c")
    of_compiler(noise, ["int x;"], "a.c")
