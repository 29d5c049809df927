"""What makes the start quick, held against what it leaves out."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebpftop.core.records import Probe, ProbeName
from ebpftop.core.user_records import Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.attach import AttachOption
from ebpftop.kernel.bpf_syscall import accepts_cast, fentry_refusal
from ebpftop.kernel.defines import kernel_defines, kernel_version
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.kernel.mount_namespace import call_with_file_over
from ebpftop.probes.base import KernelProbe
from ebpftop.probes.registry import registry
from ebpftop.sources.live import KernelSource
from ebpftop.sources.live_options import Options
from ebpftop.syscalls.abi import native_abi
from tests.kernel.support import needs_root

pytestmark = needs_root

_NATIVE = native_abi(os.uname().machine)

OPTIONS = [
    ("execs", "execs", "tracepoint"),
    ("execs", "execs.failures", "raw_tracepoint"),
    ("execs", "execs.exits", "tracepoint"),
    ("execs", "execs.failures", "tracepoint"),
    ("users", "users", "raw_tracepoint"),
    ("users", "users", "tracepoint"),
    ("trace", "trace", "tracepoint"),
]


@pytest.mark.parametrize(("probe", "ladder", "option"), OPTIONS)
def test_an_attach_option_that_was_left_out_is_compiled_when_it_is_taken_after_all(
    probe: ProbeName, ladder: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an attach option held by all signs, was refused when it was tried, and the next one is needed."""

    def wrongly(self: KernelProbe, *_steps: AttachOption) -> bool:
        return self._compile_all

    monkeypatch.setattr(KernelProbe, "may_need", wrongly)
    source = KernelSource(Options(probes=(probe,), filter=Filter(pids=(os.getpid(),)), attach={ladder: option}))
    try:
        states = [record for batch in source.read_all() for record in batch.records if isinstance(record, Probe)]
    finally:
        source.close()
    assert [state.state for state in states] == ["on"]
    taken = [each.via for each in states[0].attempts if each.reason is None]
    assert any(via.rpartition(": ")[2].startswith(option) for via in taken)


@pytest.fixture
def everything() -> Iterator[list[Module]]:
    """All that may be loaded: with a traced call, and with the probe that counts groups of processes."""
    source = KernelSource(Options(probes=(*registry().on, "cgroups")))
    try:
        source.set_handlers([(_NATIVE, 0)], "trace")
        yield [probe.module for probe in source._probes.values() if probe.module]
    finally:
        source.close()


def test_nothing_is_compiled_that_is_not_loaded(everything: list[Module]) -> None:
    """What traced calls need is loaded with the first one, and is compiled with the rest; so is what groups need."""
    compiled = {module.file: set(module._compiled.programs) for module in everything}
    loaded: dict[str, set[str]] = {}
    for module in everything:
        loaded.setdefault(module.file, set()).update(module.programs)
    assert compiled == loaded
    assert len(compiled) == 4
    assert [module.file for module in everything].count("syscalls.c") == 2


def test_the_verifier_is_soon_done_with_each_program(everything: list[Module]) -> None:
    """It walks a loop once for each thing that it knows two values of: that took ten times as many steps."""
    # struct bpf_prog_info: verified_insns is what comes after recursion_misses.
    steps = [
        (struct.unpack_from("=I", bpf_syscall.info(fd), bpf_syscall._RUN_TIME_OFFSET + 24)[0], name)
        for module in everything
        for name, fd in module.programs.items()
    ]
    assert min(steps)[0] > 0
    assert max(steps)[0] < 30_000, sorted(steps)


def test_the_verifier_does_not_search_all_names_of_the_kernel_for_each_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does for each pointer that is loaded from one it trusts, from 6.3 on: 0.1 s for our programs."""
    load, bpf, logs = bpf_syscall._load, bpf_syscall.bpf, dict[str, str]()

    def bpf_with_all_states(command: int, attr: bytes) -> int:
        if command == bpf_syscall._PROG_LOAD:  # log_level: with 1, the log of what is accepted is thrown away
            attr = attr[:24] + struct.pack("=I", 2) + attr[28:]
        return bpf(command, attr)

    def load_with_log(program: bpf_syscall.Program, _log: object) -> int:
        log = ctypes.create_string_buffer(1 << 24)
        fd = load(program, log)
        logs[program.name] = log.value.decode()
        return fd

    monkeypatch.setattr(bpf_syscall, "_load", load_with_log)
    monkeypatch.setattr(bpf_syscall, "bpf", bpf_with_all_states)
    KernelSource(Options(failures=False)).close()  # their log has 30 MB
    # What is loaded from a trusted pointer is "ptr_" or "rcu_ptr_", else "untrusted_ptr_". pt_regs: has none.
    found = {name: set(re.findall(r"=((?:rcu_|untrusted_)?)ptr_(?!pt_regs)", log)) for name, log in logs.items()}
    untrusted = {name for name, kinds in found.items() if "untrusted_" in kinds}
    if kernel_version() < (6, 2):  # the release before
        assert not untrusted
        return
    assert untrusted >= {"exec_on_sched_process_exec", "sys_exit", "users_last"}
    assert {name: kinds for name, kinds in found.items() if kinds - {"untrusted_"}} == {}


def test_programs_load_where_the_kernel_refuses_the_call_that_ends_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without the JIT: such a call cannot be interpreted."""
    defines = kernel_defines()
    execve_id = defines["EXECVE_ID"]
    assert isinstance(execve_id, int)
    assert not accepts_cast(execve_id, execve_id), "a function that no program may call"
    assert ("HAVE_RDONLY_CAST" in defines) == (kernel_version() >= (6, 2))

    def start() -> list[Probe]:
        source = KernelSource(Options())
        try:
            return [record for batch in source.read_all() for record in batch.records if isinstance(record, Probe)]
        finally:
            source.close()

    before = start()
    monkeypatch.setattr("ebpftop.kernel.defines.accepts_cast", lambda *_: False)
    assert "HAVE_RDONLY_CAST" not in kernel_defines()
    after = start()
    assert {state.state for state in after} == {"on"}
    assert [state.attempts for state in after] == [state.attempts for state in before]


def test_a_fentry_program_that_does_nothing_is_refused_just_where_a_real_one_is() -> None:
    defines = kernel_defines()
    execve_id = defines["EXECVE_ID"]
    assert isinstance(execve_id, int)
    source = KernelSource(Options(probes=()))  # the owner of the filter's maps
    try:
        module = Module("users.c", {"WITH_FENTRY": 1, **defines}, source._filter.shared)
        try:
            module.attach("fentry", str(defines["SYS_EXECVE"]), str(defines["SYS_EXECVE"]))
            refused = None
        except LoadError as error:
            refused = str(error)
        finally:
            module.close()
    finally:
        source.close()
    assert fentry_refusal(execve_id) == refused


def test_a_second_source_of_a_process_has_maps_of_its_own() -> None:
    with ExitStack() as stack:
        KernelSource(Options(probes=("users",))).close()
        # The descriptors of the first are somebody else's now.
        for _ in range(20):
            stack.enter_context(open(os.devnull))
        second = KernelSource(Options(probes=("users",), filter=Filter(pids=(os.getpid(),))))
        stack.callback(second.close)
        subprocess.run(["/bin/true"], check=True)
        readings = [record for batch in second.read_all() for record in batch.records if isinstance(record, Users)]
    assert [row.execs for row in readings[-1].rows] == [1]


def test_a_file_lies_over_another_for_one_call_in_one_thread_only(tmp_path: Path) -> None:
    below, above = tmp_path / "below", tmp_path / "above"
    below.write_text("below")
    above.write_text("above")
    here = Path.cwd()

    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(below.read_text).result()  # its thread is there before the other's mounts

        def work() -> tuple[str, str]:
            os.chdir(tmp_path)
            return below.read_text(), elsewhere.submit(below.read_text).result()

        assert call_with_file_over(below, above, work) == ("above", "below")
    assert below.read_text() == "below"
    assert Path.cwd() == here
