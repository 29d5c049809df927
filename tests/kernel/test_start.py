"""What makes the start quick, held against what it leaves out."""

from __future__ import annotations

import os
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebpftop.core.records import Probe, ProbeName, Users
from ebpftop.filters.spec import Filter
from ebpftop.kernel import bpf_syscall
from ebpftop.kernel.attach import AttachOption
from ebpftop.kernel.bpf_syscall import fentry_refusal
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Module
from ebpftop.kernel.mount_namespace import call_with_file_over
from ebpftop.probes.base import KernelProbe
from ebpftop.sources.live import KernelSource, Options, kernel_defines
from tests.kernel.support import needs_root

pytestmark = needs_root

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


def test_nothing_is_compiled_that_is_not_loaded() -> None:
    source = KernelSource(Options())
    try:
        modules = [probe.module for probe in source._probes.values()]
        compiled = [sorted(module._compiled.programs) for module in modules if module]
        assert compiled == [sorted(module.programs) for module in modules if module]
        assert len(compiled) == 4
    finally:
        source.close()


def test_the_verifier_is_soon_done_with_each_program() -> None:
    """It walks a loop once for each thing that it knows two values of: that took ten times as many steps."""
    source = KernelSource(Options())
    try:
        # struct bpf_prog_info: verified_insns is what comes after recursion_misses.
        steps = {
            name: struct.unpack_from("=I", bpf_syscall._info(fd), bpf_syscall._RUN_TIME_OFFSET + 24)[0]
            for probe in source._probes.values()
            if probe.module
            for name, fd in probe.module.programs.items()
        }
    finally:
        source.close()
    assert min(steps.values()) > 0
    assert max(steps.values()) < 30_000, steps


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
