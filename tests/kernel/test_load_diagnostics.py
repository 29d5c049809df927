"""What this kernel's verifier says about bad programs is explained, at the line that is at fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpftop.kernel.load.server import LoadServer
from ebpftop.models.load_diagnostics import of_verifier
from ebpftop.probes.load_problems import diagnostics
from tests.kernel.loading_support import File, needs_root, needs_tracefs

pytestmark = [needs_root, needs_tracefs]

PROGRAMS = Path(__file__).parents[1] / "unit/load_logs"
ATTACH = "\n// ebpftop: attach hello=raw_tracepoint:sched_process_exec\n"


@pytest.fixture(scope="module")
def server() -> Iterator[LoadServer]:
    made = LoadServer()
    yield made
    made.close()


# What all verifiers say is tested on their recorded logs; these show that a real one is read.
_IN_GUESTS = (pytest.mark.guest,)


@pytest.mark.parametrize(
    ("program", "line", "meaning"),
    [
        pytest.param("null_value", 11, "n may be NULL: there is no such key", marks=_IN_GUESTS),
        ("null_after_branch", 10, "n may be NULL: there is no such key"),
        ("reserve_unchecked", 8, "e may be NULL: the buffer is full"),
        ("reserve_without_submit", None, "What was reserved or taken (ring.ringbuf_reserve on line 7)"),
        ("unbounded_size", 10, "is a size that may be negative"),
        ("beyond_value", 11, "A value of the map has 64 bytes"),
        pytest.param("index_unbounded", 12, "An index has no upper limit", marks=_IN_GUESTS),
        ("not_a_pointer", 8, "is a number to the verifier"),
        ("endless_loop", 3, "This loop never ends"),
        ("wrong_map_kind", 4, "A tail call goes through a BPF_PROG_ARRAY"),
        ("perf_submit_without_ctx", 5, "has to be the ctx"),
        ("ctx_offset", 2, "Offset 160 of the context"),
    ],
)
def test_a_refusal_is_explained(
    tmp_path: Path, server: LoadServer, program: str, line: int | None, meaning: str
) -> None:
    file = File(tmp_path, server)
    text = (PROGRAMS / f"{program}.c").read_text()
    loading = file.load(text + ATTACH)
    file.file.close()
    assert (loading.ok, loading.stage) == (False, "verifier")
    (state,) = loading.programs
    lines = {one.insn: one.line for one in state.lines if one.file == "hello.c"}
    found = of_verifier("hello", state.log, text.split("\n"), "hello.c", lines=lines)
    assert meaning in found.meaning, found
    assert found.suggestion
    assert found.line == line or line is None
    assert found.path
    assert found.registers


INCLUDES = """\
#include "own.h"
BPF_HASH(counts, u32, u64);
RAW_TRACEPOINT_PROBE(sched_process_exec) {
    u32 key = 1;
    counts.increment(key);
    return 0;
}
"""


def test_files_that_are_included_are_read_watched_and_explained(tmp_path: Path, server: LoadServer) -> None:
    file, own = File(tmp_path, server), tmp_path / "own.h"

    def problems() -> list[tuple[int | None, str]]:
        loading = file.file.load()
        return [(one.line, one.message) for one in diagnostics(loading, "hello.c")]

    file.write(INCLUDES)
    assert problems() == [(1, "there is no own.h beside hello.c: it counts as empty")]
    own.write_text("this is not C\n")  # BCC crashes: the map behind it could not be declared
    assert file.file.saved() or file.file.saved()
    assert problems()[0] == (1, "own.h:1: unknown type name 'this' in: this is not C")
    own.write_text('#include "further.h"\n')
    assert problems() == [(1, "there is no further.h beside hello.c: it counts as empty")]
    (tmp_path / "further.h").write_text("static inline int one(void) { return 1; }\n")
    assert file.file.saved() or file.file.saved()
    assert problems() == []

    shown = "static inline u64 of(u64 *v) {\n    return *v;\n}\n"
    (tmp_path / "further.h").write_text(shown)
    file.write(INCLUDES.replace("counts.increment(key)", "return of(counts.lookup(&key))"))
    ((line, message),) = problems()
    assert (line, message) == (1, "further.h:2: R0 invalid mem access 'map_value_or_null' in: return *v;")
    file.write(INCLUDES)
    assert problems() == []

    text = file.path.read_text()
    file.path.unlink()
    assert problems() == [(None, f"there is no file {file.path}")]
    assert file.file.loading is not None
    assert file.file.loading.remedy == "it is loaded again when it is back"
    assert file.file.loading.source == text
    assert file.file.good is not None
    file.write(text)
    assert file.file.saved() or file.file.saved()
    assert problems() == []
    file.file.close()


def test_what_is_about_no_instruction_has_its_line_too(tmp_path: Path, server: LoadServer) -> None:
    program = "\nRAW_TRACEPOINT_PROBE(sched_process_exec) { return 0; }\n"
    wrong = {
        "\nBPF_HASH(small, u32, u64, 1);\nBPF_ARRAY(large, u64, 1 << 30);": (3, "the map large takes 8192 MiB"),
        '\nBPF_TABLE("hash", u32, u64, none, 0);': (2, "the kernel refused to make the map none"),
        "".join(f"BPF_HASH(m{i}, u32, u64, 1);\n" for i in range(202)): (201, "the file has 202 maps"),
        "\nRAW_TRACEPOINT_PROBE(sched_process_exce) { return 0; }": (2, "this kernel has no tracepoint sched_pro"),
        "// ebpftop: attach hello=syscall:exceve\nint hello(void *ctx) { return 0; }": (1, "there is no system call"),
        "// ebpftop: slot calls[9]=raw_tracepoint__sched_process_exec\nBPF_PROG_ARRAY(calls, 4);": (
            1,
            "calls[9] stays empty: the map has the slots 0 to 3",
        ),
    }
    for text, (line, message) in wrong.items():
        file = File(tmp_path, server)
        found = next(iter(diagnostics(file.load(text + program), "hello.c")))
        file.file.close()
        assert (found.line, found.message[: len(message)]) == (line, message)
