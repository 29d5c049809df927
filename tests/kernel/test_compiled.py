"""Programs that were kept from an earlier start are the same programs, and are kept no longer than what made them."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from ebpftop.core.process_records import Exec
from ebpftop.core.records import Probe, Record
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bcc_compiler, bpf_syscall, btf, build_cache, compiler, maps, offsets, stub_headers
from ebpftop.kernel.btf import Btf
from ebpftop.kernel.compiled import Compiled, MapSpec, file_state
from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.errors import DamagedError, LoadError
from ebpftop.kernel.loader import Module
from ebpftop.probes import syscall_programs
from ebpftop.probes.registry import registry
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.tracing import TracedCall

PROGRAM = """
struct seen { u64 runs; u32 number; };
BPF_ARRAY(config, u32, 1);
BPF_HASH(seen, u32, struct seen, 16);

int count(void *ctx)
{
    u32 zero = 0, *number = config.lookup(&zero);
    struct seen first = {.number = NUMBER};

    if (!number)
        return 0;
    struct seen *one = seen.lookup_or_try_init(number, &first);
    if (one)
        __sync_fetch_and_add(&one->runs, 1);
    return 0;
}
"""


PARAMETERS = """
#include "ebpftop.h"
enum parameter { PARAMETER_ON = 1, PARAMETER_LIMIT = 2 };
struct numbers { u64 limit; u64 runs; };
BPF_ARRAY(counts, struct numbers, 1);

int count(void *ctx)
{
    u32 zero = 0;
    struct numbers *one = counts.lookup(&zero);

    if (!one)
        return 0;
    one->limit = PARAMETER(LIMIT);
    if (PARAMETER(ON))
        one->runs = bpf_get_current_task() ? 1 : 2;
    return 0;
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EBPFTOP_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was really compiled, in order."""
    files: list[str] = []
    original = compiler._compile

    def noting(file: str, source: str, flags: list[str]) -> Compiled:
        files.append(Path(file).name)
        return original(file, source, flags)

    monkeypatch.setattr(compiler, "_compile", noting)
    return files


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program.c"
    file.write_text(PROGRAM)
    return file


def tags(source: KernelSource) -> Iterator[tuple[str, bytes]]:
    """The kernel's own hash of each program's instructions (struct bpf_prog_info.tag)."""
    for probe in source._probes.values():
        assert probe.module is not None
        for name, fd in probe.module.programs.items():
            yield f"{probe.name}.{name}", bpf_syscall.info(fd)[8:16]


def watched(source: KernelSource) -> list[Record]:
    subprocess.run(["/bin/true"], check=True)
    return [record for batch in source.read_all() for record in batch.records]


def test_a_second_start_compiles_nothing_and_loads_the_same_programs(compilations: list[str]) -> None:
    found: list[Mapping[str, bytes]] = []
    for _ in range(2):
        source = KernelSource(Options())
        try:
            found.append(dict(tags(source)))
            records = watched(source)
        finally:
            source.close()
        states = {record.probe: record.state for record in records if isinstance(record, Probe)}
        assert states == dict.fromkeys(registry().on, "on")
        assert any(isinstance(record, Exec) and record.argv == ("/bin/true",) for record in records)
    assert sorted(compilations) == sorted(["filter.c", "execs.c", "users.c", "syscalls.c", "trace.c"])
    assert found[0] == found[1]
    assert len(found[0]) > 8


CHOICES: dict[str, Callable[[pytest.MonkeyPatch], Options]] = {
    "what is counted": lambda _: Options(latency=False, processes=False, failures=False),
    "greetings": lambda _: Options(printk=True),
    "the buffer": lambda _: Options(buffer="perf"),
    "the interval and the filter": lambda _: Options(interval_s=0.1, filter=Filter(uids=(0,), comms=("sh*",))),
    "handlers": lambda _: Options(ignore=(("x86_64", 0),), trace=(TracedCall("x86_64", 1),)),
    "processors that may be plugged in": lambda patch: patch.setattr(maps, "CPUS", maps.CPUS + 1) or Options(),
    "how much is kept": lambda patch: patch.setattr(syscall_programs, "WAITING_MAX", 99) or Options(),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of a start without options are kept."""
    folder = tmp_path_factory.mktemp("default") / "kept"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBPFTOP_CACHE", str(folder))
        KernelSource(Options()).close()
    return folder


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_chosen_for_a_run_compiles_nothing(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch, kept: Path, choice: str
) -> None:
    monkeypatch.setenv("EBPFTOP_CACHE", str(kept))
    source = KernelSource(CHOICES[choice](monkeypatch))
    try:
        states = {record.probe: record.reason for record in watched(source) if isinstance(record, Probe)}
    finally:
        source.close()
    assert states == dict.fromkeys(registry().on)
    assert compilations == []


def xlated_bytes(fd: int) -> int:
    """How long a program is after verification (struct bpf_prog_info.xlated_prog_len)."""
    return int.from_bytes(bpf_syscall.info(fd)[20:24], sys.byteorder)


def test_what_a_parameter_excludes_is_not_in_the_kernel(tmp_path: Path, compilations: list[str]) -> None:
    file = tmp_path / "parameters.c"
    file.write_text(PARAMETERS)
    found = {}
    for on, limit in ((0, 7), (1, 7), (0, 1 << 63 | 5)):
        module = Module(str(file), kernel_defines(), parameters={"ON": on, "LIMIT": limit})
        size = xlated_bytes(module.load("count", "raw_tracepoint"))
        module.attach("raw_tracepoint", "sched_process_exec", "count")
        subprocess.run(["/bin/true"], check=True)
        found[on, limit] = size, maps.lookup(module.table("counts"), bytes(4), 16)
        module.close()
    off, on_, large = found.values()
    assert off[0] == large[0] < on_[0] - 4 * 8
    assert [struct.unpack("=QQ", value or b"") for _, value in (off, on_, large)] == [
        (7, 0), (7, 1), (1 << 63 | 5, 0),
    ]  # fmt: skip
    assert compilations == ["parameters.c"]


def test_a_map_has_the_size_that_is_chosen(program: Path, compilations: list[str]) -> None:
    for entries in (16, 3):
        module = Module(str(program), {"NUMBER": 1}, entries={"seen": entries})
        assert (
            module.table("seen").max_entries == bpf_syscall.map_info(module.table("seen").map_fd).max_entries == entries
        )
        module.close()
    assert len(compilations) == 1


@pytest.mark.parametrize(
    ("parameters", "entries", "words"),
    [
        ({"ON": 1}, {}, "the parameter LIMIT has no value"),
        ({"ON": 1, "LIMIT": 1, "OTHER": 1}, {}, "the parameter OTHER has no declaration"),
        ({"ON": 1, "LIMIT": 1}, {"other": 1}, "the map other has no declaration"),
    ],
)
def test_what_is_chosen_must_be_what_the_file_declares(
    tmp_path: Path, parameters: Mapping[str, int], entries: Mapping[str, int], words: str
) -> None:
    file = tmp_path / "parameters.c"
    file.write_text(PARAMETERS)
    with pytest.raises(LoadError, match=words):
        Module(str(file), kernel_defines(), parameters=parameters, entries=entries)


def test_clang_reads_no_file_that_others_of_our_user_may_write(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As without root, where the folder that BCC is shown belongs to a user who may be anybody."""
    made = compiler.compiled(str(program), {"NUMBER": 1})
    monkeypatch.setenv("EBPFTOP_CACHE", "")
    monkeypatch.setattr(stub_headers, "_kept_fds", [])
    arch = f"arch/{stub_headers.kernel_arch()}/include"
    asked_for = {name.partition("include/")[2].removeprefix("uapi/") for name in stub_headers.headers()}
    forged: list[str] = []

    @contextmanager
    def forged_tree() -> Iterator[stub_headers.HeaderTree]:
        with stub_headers.header_tree() as tree:
            for place in (
                arch,
                f"{arch}/uapi",
                f"{arch}/generated",
                f"{arch}/generated/uapi",
                "include",
                "include/uapi",
            ):
                for name in asked_for:
                    file = tree.folder / place / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text("#error forged\n")
                    forged.append(str(file))
            yield tree

    monkeypatch.setattr(bcc_compiler, "header_tree", forged_tree)
    assert compiler.compiled(str(program), {"NUMBER": 1}) == made
    assert len(forged) > 50
    assert not Path(forged[0]).exists()


def test_the_offsets_of_a_kernel_are_read_from_its_btf_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    class Noting(Btf):
        def __init__(self, data: bytes) -> None:
            read.append(data)
            super().__init__(data)

    monkeypatch.setattr(offsets, "Btf", Noting)
    first, second = kernel_defines(), kernel_defines()
    assert first == second
    assert len(read) == 1
    monkeypatch.setattr(btf, "of_running_kernel", lambda: read[0] + b"\0")  # another kernel
    assert kernel_defines() == first
    assert len(read) == 2


def test_only_what_the_file_mentions_makes_it_another_one(program: Path, compilations: list[str]) -> None:
    first = compiler.compiled(str(program), {"NUMBER": 1, "OTHER": 1})
    assert compiler.compiled(str(program), {"OTHER": 2, "NUMBER": 1}) == first
    assert len(compilations) == 1
    assert compiler.compiled(str(program), {"NUMBER": 2}) != first
    program.write_text(PROGRAM + "// changed\n")
    compiler.compiled(str(program), {"NUMBER": 1})
    assert len(compilations) == 3


def test_another_kernel_or_another_compiler_compiles_anew(
    folder: Path, program: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler.compiled(str(program), {"NUMBER": 1})
    uname = os.uname()
    with monkeypatch.context() as other:
        other.setattr(os, "uname", lambda: os.uname_result((*uname[:3], "#2 another build", uname[4])))
        compiler.compiled(str(program), {"NUMBER": 1})
    with monkeypatch.context() as other:
        files = bcc_compiler.toolchain()
        other.setattr(bcc_compiler, "toolchain", lambda: (*files, file_state(str(tmp_path / "libLLVM.so"))))
        compiler._made_here.clear()
        (folder / compiler._task(str(program), {"NUMBER": 1})[2]).unlink()
        compiler.compiled(str(program), {"NUMBER": 1})
    assert len(compilations) == 3
    compiler.compiled(str(program), {"NUMBER": 1})
    assert len(compilations) == 3
    (tmp_path / "libLLVM.so").write_text("another version")
    compiler.compiled(str(program), {"NUMBER": 1})
    assert len(compilations) == 4


def test_the_compiler_is_known_by_the_files_that_are_loaded() -> None:
    paths = [state.path for state in bcc_compiler.toolchain()]
    for name in ("/bcc/__init__.py", "/libbcc.so.0", "/libLLVM", "/libclang"):
        assert any(name in path for path in paths), paths
    assert all(state.size for state in bcc_compiler.toolchain())


def test_a_damaged_entry_is_compiled_anew(folder: Path, program: Path, compilations: list[str]) -> None:
    first = compiler.compiled(str(program), {"NUMBER": 1})
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert compiler.compiled(str(program), {"NUMBER": 1}) == first
    assert len(compilations) == 2


FORGED: dict[str, Callable[[Compiled], object]] = {
    "another type": lambda kept: [1, 2],
    "no programs": lambda kept: replace(kept, programs={}),
    "an empty program": lambda kept: replace(kept, programs={"count": b""}),
    "half an instruction": lambda kept: replace(kept, programs={"count": kept.programs["count"][:-4]}),
    "parameters of another file": lambda kept: replace(kept, parameters={"OTHER": 1}),
    "made by nothing": lambda kept: replace(kept, toolchain=()),
    "no maps": lambda kept: replace(kept, maps=()),
    "two maps of a name": lambda kept: replace(kept, maps=(kept.maps[0], kept.maps[0])),
    "maps of another file": lambda kept: replace(kept, maps=(replace(kept.maps[0], name="other"),)),
}


@pytest.mark.parametrize("content", FORGED)
def test_an_entry_that_cannot_be_of_its_file_is_compiled_anew_and_replaced(
    folder: Path, program: Path, compilations: list[str], content: str
) -> None:
    first = compiler.compiled(str(program), {"NUMBER": 1})
    (entry,) = folder.iterdir()
    build_cache.store(entry.name, FORGED[content](first))
    assert compiler.compiled(str(program), {"NUMBER": 1}) == first
    assert len(compilations) == 2
    assert build_cache.find(entry.name, Compiled) == first


def test_what_is_of_no_use_is_compiled_anew_once_and_believed_then(program: Path, compilations: list[str]) -> None:
    compiler.compiled(str(program), {"NUMBER": 1})
    assert not compiler.recheck(str(program), {"NUMBER": 1})  # compiled by this process
    assert len(compilations) == 1
    compiler._made_here.clear()
    assert not compiler.recheck(str(program), {"NUMBER": 1})  # what was kept is the same
    assert not compiler.recheck(str(program), {"NUMBER": 1})
    assert len(compilations) == 2


def test_a_program_that_the_kernel_refuses_is_doubted_and_replaced_if_it_was_kept(
    folder: Path, program: Path, compilations: list[str]
) -> None:
    first = compiler.compiled(str(program), {"NUMBER": 1})
    (entry,) = folder.iterdir()
    build_cache.store(entry.name, replace(first, programs={"count": b"\xff" * 16}))
    compiler._made_here.clear()
    module = Module(str(program), {"NUMBER": 1})
    with pytest.raises(DamagedError):
        module.load("count", "raw_tracepoint")
    module.close()
    module = Module(str(program), {"NUMBER": 1})
    module.load("count", "raw_tracepoint")
    module.close()
    assert len(compilations) == 2


def test_what_does_not_compile_is_told_each_time_and_not_kept(folder: Path, program: Path) -> None:
    program.write_text("int count(void *ctx) { return nonsense; }")
    for _ in range(2):
        with pytest.raises(LoadError, match=r"program\.c does not compile"):
            compiler.compiled(str(program), {})
    assert not folder.exists()


def test_a_map_that_is_given_is_shared_and_stays_when_the_module_goes(program: Path) -> None:
    owner = Module(str(program), {"NUMBER": 7})
    config, seen = owner.table("config"), owner.table("seen")
    maps.update(config, bytes(4), (3).to_bytes(4, "little"))
    guest = Module(str(program), {"NUMBER": 8}, {"config": config, "seen": seen})
    assert (guest.table("config"), guest.table("seen")) == (config, seen)
    guest.attach("raw_tracepoint", "sched_process_exec", "count")
    subprocess.run(["/bin/true"], check=True)
    guest.close()
    ((key, value),) = maps.items(seen, 4, 16)
    assert int.from_bytes(key, "little") == 3
    assert int.from_bytes(value[:8], "little") >= 1
    assert int.from_bytes(value[8:12], "little") == 8
    owner.close()


def test_closing_gives_every_descriptor_back(program: Path) -> None:
    Module(str(program), {"NUMBER": 1}).close()
    before = set(os.listdir("/proc/self/fd"))
    module = Module(str(program), {"NUMBER": 1})
    module.attach("raw_tracepoint", "sched_process_exec", "count")
    assert len(set(os.listdir("/proc/self/fd")) - before) == 4  # two maps, a program, a link
    module.close()
    module.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_map_that_the_kernel_refuses_is_named_and_the_others_are_given_back(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compiler.compiled(str(program), {"NUMBER": 1})
    refused = MapSpec("wrong", 2, 8, 8, 1, 0)  # an array whose keys are not of 4 bytes
    monkeypatch.setattr(
        "ebpftop.kernel.loader.compiled",
        lambda *_: replace(real, maps=(*real.maps, refused)),
    )
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(LoadError, match="refused to make the map wrong: Invalid argument"):
        Module(str(program), {"NUMBER": 1})
    assert set(os.listdir("/proc/self/fd")) == before
