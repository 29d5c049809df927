"""The code of a loaded program in words: as bpftool shows it, with the lines of the file; and the code of the JIT."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ebpftop.core.load_records import CodeLine
from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.bpf_programs import program_id
from ebpftop.kernel.load.built import CodeRequest, ShownCode
from ebpftop.kernel.load.server import LoadServer
from tests.kernel.loading_support import File, needs_root, needs_tracefs

pytestmark = [needs_root, needs_tracefs]

SOURCE = """\
BPF_HASH(a_map_with_a_long_name, u32, u64);
BPF_PROG_ARRAY(next_programs, 4);
BPF_PERF_OUTPUT(output);
int hello(struct bpf_raw_tracepoint_args *ctx) {
    u32 key = bpf_get_current_pid_tgid() >> 32;
    u64 zero = 0, *count;
    count = a_map_with_a_long_name.lookup(&key);
    if (count)
        lock_xadd(count, 3);
    else if (key > 0x12345)
        a_map_with_a_long_name.update(&key, &zero);
    output.perf_submit(ctx, &key, sizeof(key));
    next_programs.call(ctx, key & 3);
    return 0;
}
// ebpftop: attach hello=raw_tracepoint:sched_process_exec
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LoadServer]:
    made = LoadServer()
    yield made
    made.close()


class Loaded(NamedTuple):
    """A loaded program, and what belongs to it."""

    server: LoadServer
    fd: int
    request: CodeRequest

    def code(self) -> ShownCode:
        shown = self.server.code(self.fd, self.request)
        assert not shown.error
        return shown


@pytest.fixture
def hello(tmp_path: Path, server: LoadServer) -> Iterator[Loaded]:
    file = File(tmp_path, server)
    loading = file.load(SOURCE)
    assert loading.ok, loading
    program_fd = file.file.programs["hello"].plain_fd  # it writes to a buffer: a copy that counts losses is attached
    assert program_fd is not None
    names = {one.id: one.name for one in file.file.maps.values()}
    yield Loaded(server, program_fd, CodeRequest("hello.c", names, loading.btf))
    file.file.close()


def lines_of(code: tuple[CodeLine, ...], text: str) -> set[int | None]:
    return {one.line for one in code if text in one.text}


@pytest.mark.guest
@pytest.mark.newest
def test_instructions_have_names_and_the_lines_of_the_file(hello: Loaded) -> None:
    code = hello.code().xlated
    assert code[0].function == "hello"
    assert lines_of(code, "call bpf_get_current_pid_tgid") == {5}
    assert lines_of(code, "map[a_map_with_a_long_name]") == {7, 11}
    assert lines_of(code, "lock *(u64 *)") == {9}
    assert lines_of(code, "map[next_programs]") == {13}
    assert "exit" in {one.text for one in code}


def test_a_body_on_the_line_of_its_function_is_of_that_line(tmp_path: Path, server: LoadServer) -> None:
    file = File(tmp_path, server)
    text = """\
BPF_HASH(m, u32, u64);
// ebpftop: attach hello=syscall:execve
int hello(void *c) { u32 k = bpf_get_current_uid_gid(); m.increment(k); return 0; }
// four
// five
// six
"""
    loading = file.load(text)
    assert loading.ok, loading
    program = file.file.programs["hello"]
    program_fd = program.fd if program.plain_fd is None else program.plain_fd
    assert program_fd is not None
    shown = server.code(program_fd, CodeRequest("hello.c", btf=loading.btf))
    assert {one.line for one in shown.xlated} == {3}
    file.file.close()


def test_lines_of_another_file_are_not_its_own(hello: Loaded) -> None:
    code = hello.server.code(hello.fd, CodeRequest("other.c", btf=hello.request.btf))
    assert {one.line for one in code.xlated} == {None}


@pytest.mark.skipif(not shutil.which("bpftool"), reason="bpftool is not installed")
def test_instructions_are_those_that_bpftool_shows(hello: Loaded) -> None:
    command = ("bpftool", "prog", "dump", "xlated", "id", str(program_id(hello.fd)))
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [match[2] for line in theirs.splitlines() if (match := re.match(r" *(\d+): \([0-9a-f]{2}\) (.*)", line))]
    ours = [one.text for one in hello.code().xlated]
    assert [plain(text) for text in ours] == [plain(text) for text in expected]


def plain(text: str) -> str:
    """Return an instruction in what bpftool's form and ours have in common."""
    text = re.sub(r"#\S+", "", text).replace("goto pc", "goto ")
    text = re.sub(r"map\[[^]]*\]", "map", text)
    text = re.sub(r"call .*", "call", text)
    text = re.sub(r"\((r\d+) ?([+-]) ?(\d+)\)", r"(\1\2\3)", text)
    return re.sub(r"-?0x[0-9a-f]+", lambda match: str(int(match[0], 16)), text)


@pytest.mark.guest
@pytest.mark.newest
def test_machine_code_is_shown_with_the_same_lines(hello: Loaded) -> None:
    shows = hello.code()
    if not shows.native:
        pytest.skip("this kernel has no JIT")
    assert shows.native[0].function == "hello"
    assert shows.native[0].at == 0
    assert {one.line for one in shows.native} <= {one.line for one in shows.xlated}
    assert lines_of(shows.native, "htab_map_update_elem") == {11}
    assert not [one for one in shows.native if one.text.startswith("byte ")]


def test_instructions_of_the_machine_end_where_its_code_ends(hello: Loaded) -> None:
    native = hello.code().native
    length = int.from_bytes(bpf_syscall.info(hello.fd)[16:20], "little")
    starts = [one.at for one in native]
    assert starts == sorted(set(starts))
    assert not native or 0 < length - starts[-1] <= 15


def test_what_is_not_a_program_is_said_and_the_next_one_is_shown(hello: Loaded, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert hello.server.code(file.fileno(), hello.request).error
    assert hello.code().xlated
