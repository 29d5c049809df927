"""Frames of stacks become names of functions, whatever the files say that they are looked up in."""

from __future__ import annotations

import os
import shutil
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpftop.core.syscall_records import Syscall
from ebpftop.kernel import mappings, process_files, symbol_table
from ebpftop.kernel.elf_symbols import ElfSymbols
from ebpftop.kernel.root_work import RootWork
from ebpftop.kernel.symbol_table import SymbolTable, perf_map
from ebpftop.probes import stack_names, stack_worker
from ebpftop.probes.stack_names import UNKNOWN, StackNames
from ebpftop.probes.stack_worker import LATE, StackWorker
from ebpftop.probes.traced_calls import RawStacks

GONE = 1 << 22  # no pid


def build_id_of(name: int) -> bytes:
    return bytes([name] * 20)


def elf(functions: Sequence[tuple[str, int, int]], build_id: bytes = build_id_of(7), *, wide: bool = True) -> bytes:
    """Return a file with these functions (name, address, size); its code lies at 0x1000, and in memory at 0x401000."""
    names = b"\0.symtab\0.strtab\0" + b"".join(name.encode() + b"\0" for name, _, _ in functions)
    symbols = bytes(24 if wide else 16)
    at = 17
    for name, address, size in functions:
        symbols += (
            struct.pack("<IBBHQQ", at, 2, 0, 1, address, size)
            if wide
            else struct.pack("<IIIBBH", at, address, size, 2, 0, 1)
        )
        at += len(name) + 1
    note = struct.pack("<III4s", 4, len(build_id), 3, b"GNU\0") + build_id if build_id else b""
    head, segment, section = (64, 56, 64) if wide else (52, 32, 40)
    note_at = head + 2 * segment
    names_at = note_at + len(note)
    symbols_at = names_at + len(names)
    table_at = symbols_at + len(symbols)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    numbers = (3, 62, 1, 0, head, table_at, 0, head, segment, 2, section, 3, 2)
    content = ident + struct.pack("<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH", *numbers)
    for kind, offset, memory, size in ((1, 0x1000, 0x401000, 0x1000), (4, note_at, 0, len(note))):
        if wide:
            content += struct.pack("<IIQQQQQQ", kind, 5, offset, memory, memory, size, size, 4)
        else:
            content += struct.pack("<IIIIIIII", kind, offset, memory, memory, size, size, 5, 4)
    content += note + names + symbols
    rows = (
        (0, 0, 0, 0, 0, 0),
        (1, 2, symbols_at, len(symbols), 2, 24 if wide else 16),
        (9, 3, names_at, len(names), 0, 0),
    )
    for name_at, kind, offset, size, link, entry in rows:
        pattern = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
        content += struct.pack(pattern, name_at, kind, 0, 0, offset, size, link, 0, 1, entry)
    return content


def opened(content: bytes) -> int:
    fd = os.memfd_create("elf")
    os.pwrite(fd, content, 0)
    return fd


def name_at(symbols: ElfSymbols, offset: int) -> str | None:
    found = symbols.at(offset)
    return f"{found.name.decode()}+{found.offset:#x}" if found else None


@pytest.mark.parametrize("wide", [True, False])
def test_functions_of_a_file(wide: bool) -> None:
    functions = [
        ("__open64", 0x401100, 0x20),
        ("open", 0x401100, 0x20),
        ("outer", 0x401200, 0x100),
        ("inner", 0x401210, 8),
    ]
    symbols = ElfSymbols(opened(elf(functions, wide=wide)))
    assert symbols.build_id == build_id_of(7)
    assert name_at(symbols, 0x1105) == "open+0x5"
    assert name_at(symbols, 0x111F) == "open+0x1f"
    assert name_at(symbols, 0x1120) is None  # behind its end
    assert name_at(symbols, 0x1214) == "inner+0x4"
    assert name_at(symbols, 0x1220) == "outer+0x20"
    assert name_at(symbols, 0x10) is None  # no code
    assert name_at(symbols, 1 << 63) is None
    symbols.close()


def test_the_functions_of_a_real_program_are_those_that_it_has() -> None:
    symbols = ElfSymbols(os.open(sys.executable, os.O_RDONLY))
    assert len(symbols.build_id) == 20
    symbols.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_has_what_it_has_and_breaks_nothing(data: st.DataObject) -> None:
    content = bytearray(elf([("one", 0x401100, 0x20), ("two", 0x401200, 0)]))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    symbols = ElfSymbols(opened(bytes(content[:cut] if data.draw(st.booleans()) else content)))
    for offset in (0, 0x1100, 0x1205, (1 << 64) - 1):
        found = symbols.at(offset)
        assert found is None or len(found.name) <= symbol_table.NAME_MAX
    symbols.close()


def test_a_perf_map_is_read_as_far_as_it_makes_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbol_table, "ENTRIES_MAX", 3)
    hostile = (
        b"\xff\xfe\0\n\n1 \n10 10 first\nzz 10 no\n20 zz no\n20 ffffffffffffffffff no\n10 8 again\n30 10 " + b"x" * 9999
    )
    table = perf_map(hostile + b"\n50 10 beyond the limit\n")
    assert table.at(0x13) == (b"again", 3)
    assert table.at(0x1A) is None
    name = table.at(0x35)
    assert name is not None
    assert name.name == b"x" * symbol_table.NAME_MAX
    assert table.at(0x55) is None
    assert SymbolTable(()).at(5) is None


def test_mappings_with_names_that_a_program_chose() -> None:
    content = b"1000-2000 r-xp 00000000 08:01 5 /tmp/a b\\012c (deleted)\n2000-3000 r-xp 0 00:00 0 [vdso]\n"
    found = mappings.mappings_of(content + b"-5 r-xp 0 0 x\n\xff")
    assert [one.path for one in found] == [b"/tmp/a b\\012c (deleted)", b"[vdso]"]
    assert mappings.mapping_at(found, 0x1FFF) == found[0]
    assert mappings.mapping_at(found, 0x3000) is None


def frame(build_id: bytes | None, at: int) -> bytes:
    return struct.pack("=i20sQ", 1 if build_id else 2, build_id or b"", at)


class Root(RootWork):
    """A process with two files and code that it made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder
        self.asked: list[str] = []

    def mappings(self, pid: int) -> bytes:
        self.asked.append("mappings")
        if pid == GONE:
            return b""
        return (
            b"401000-402000 r-xp 00001000 08:01 5 /opt/program\n"
            b"701000-702000 r-xp 00001000 08:01 6 /opt/lib\x1b[31m.so (deleted)\n"
            b"900000-901000 rwxp 00000000 00:00 0 \n"
            b"a00000-a01000 r-xp 00000000 00:00 0 [vdso]\n"
        )

    def mapped_file(self, pid: int, begin: int, end: int) -> int:
        self.asked.append(f"file {begin:x}")
        return os.open(self.folder / f"{begin:x}", os.O_RDONLY)

    def perf_map(self, pid: int) -> int:
        return opened(b"900010 20 made::\x1b[31mcode\n")

    def kernel_symbols(self) -> int:
        return opened(b"1000 t bpf_prog\n1100 T __schedule\n1200 T schedule\n1300 T do_sleep\t[sleep]\n")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "401000").write_bytes(elf([("main", 0x401100, 0x20), ("\x1b[2J" + "y" * 400, 0x401200, 0x20)]))
    (tmp_path / "701000").write_bytes(elf([("of_library", 0x401100, 0x20)], b""))
    return Root(tmp_path)


def test_frames_are_functions_with_their_file(root: Root) -> None:
    names = StackNames(root)
    raw = b"".join(
        (
            frame(None, 0x701104),  # of a file without a build id
            frame(build_id_of(7), 0x1120),  # a caller: the address behind the call, which is its last instruction
            frame(None, 0x900018),
            frame(None, 0xA00001),
            frame(build_id_of(7), 0x1900),
            frame(build_id_of(9), 0x1900),
            frame(build_id_of(7), (1 << 64) - 5),
            frame(None, 0x5),
            frame(None, 0),
        )
    )
    assert names.user(RawStacks(5, None, raw, b"")) == (
        r"of_library+0x4 (lib\x1b[31m.so)",
        "main+0x20 (program)",
        r"made::\x1b[31mcode+0x8 (perf-5.map)",
        f"{UNKNOWN} ([vdso])",
        f"{UNKNOWN}+0x1900 (program)",
        f"{UNKNOWN}+0x1900 (build id {'09' * 20})",
        UNKNOWN,
        f"{UNKNOWN} (0x5)",
    )
    (long,) = names.user(RawStacks(5, None, frame(build_id_of(7), 0x1205), b""))
    assert long.startswith(r"\x1b[2Jyyy")
    assert len(long) < 230
    names.close()


def test_what_was_found_once_is_not_looked_for_again(root: Root) -> None:
    names = StackNames(root)
    stack = RawStacks(5, None, frame(build_id_of(7), 0x1105), b"")
    assert names.user(stack) == ("main+0x5 (program)",)
    root.asked.clear()
    assert names.user(stack) == names.user(stack._replace(pid=GONE)) == ("main+0x5 (program)",)
    other = RawStacks(GONE, None, frame(build_id_of(7), 0x1106), b"")
    assert names.user(other) == ("main+0x6 (program)",)
    assert root.asked == []
    names.close()


def test_a_program_that_ended_is_found_where_it_was(root: Root, tmp_path: Path) -> None:
    names = StackNames(root)
    program = tmp_path / "ended"
    shutil.copy(tmp_path / "401000", program)
    os.mkfifo(tmp_path / "pipe")
    stack = RawStacks(GONE, str(tmp_path / "pipe"), frame(build_id_of(7), 0x1105), b"")
    assert names.user(stack) == (f"{UNKNOWN}+0x1105 (build id {'07' * 20})",)
    assert names.user(stack._replace(exe=str(program))) == ("main+0x5 (ended)",)
    names.close()


def test_more_files_than_may_be_open_are_opened_again(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_names, "_FILES_MAX", 1)
    names = StackNames(root)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        for at, name in ((0x401105, "main+0x5 (program)"), (0x701104, r"of_library+0x4 (lib\x1b[31m.so)")):
            assert names.user(RawStacks(5, None, frame(None, at), b"")) == (name,)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    names.close()


def test_the_stack_of_the_kernel_begins_where_the_task_left_its_cpu(root: Root) -> None:
    names = StackNames(root)
    raw = struct.pack("=5Q", 0x1005, 0x1105, 0x1205, 0x1300, 5)
    assert names.kernel(raw) == ("__schedule+0x5", "schedule+0x5", "schedule+0x100", f"{UNKNOWN} (0x5)")
    assert names.kernel(struct.pack("=Q", 0x1301)) == ("do_sleep+0x1 (sleep)",)
    names.close()


def call(number: int) -> Syscall:
    return Syscall(time=1.0, pid=5, comm="a", abi="x86_64", nr=1, name="read", args=(), ret=0, ns=1, tid=number)


def test_calls_keep_their_order_and_none_is_lost(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_worker, "BEHIND_MAX", 10)
    worker = StackWorker(root)
    raw = RawStacks(5, None, frame(build_id_of(7), 0x1105), struct.pack("=Q", 0x1300))
    got = []
    for first in range(0, 200, 50):
        calls = [(call(number), raw if number % 2 else None) for number in range(first, first + 50)]
        got += worker.pass_through(calls, everything=first == 150)
    worker.close()
    assert [one.tid for one in got] == list(range(200))
    assert all(one.stack in (("main+0x5 (program)",), LATE, None) for one in got)
    assert got[1].stack is not None
    assert got[1].kernel_stack == ("do_sleep+0x0 (sleep)",)
    assert got[0].stack is None


def test_a_stack_that_cannot_be_read_takes_no_call_away(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(StackNames, "user", fail)
    worker = StackWorker(root)
    assert worker.pass_through([(call(1), RawStacks(5, None, b"x" * 32, b""))], everything=True) == [call(1)]
    worker.close()


def test_only_a_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(PermissionError):
            process_files.open_regular(str(path))
    with pytest.raises(PermissionError):
        process_files.open_regular(str(tmp_path / "link"), follow=False)
    os.close(process_files.open_regular(str(tmp_path / "file")))


def test_what_takes_too_long_to_name_says_so_at_the_end(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slowly(*_: object) -> tuple[str, ...]:
        begun.set()
        may_end.wait(30)
        return ("late",)

    monkeypatch.setattr(StackNames, "user", slowly)
    monkeypatch.setattr(stack_worker, "LAST_PATIENCE_S", 0.0)
    monkeypatch.setattr(stack_worker, "PATIENCE_S", 0.0)
    worker = StackWorker(root)
    raw = RawStacks(5, None, b"x" * 32, b"")
    assert worker.pass_through([(call(1), raw)], everything=False) == []
    assert begun.wait(30)
    late = worker.pass_through([(call(2), raw), (call(3), None)], everything=True)
    assert [(one.tid, one.stack, one.kernel_stack) for one in late] == [
        (1, LATE, None),
        (2, LATE, None),
        (3, None, None),
    ]
    may_end.set()
    worker.close()
