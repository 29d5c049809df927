"""BCC's own tools, as Debian installs them: their C compiles unchanged, with headers that are made of BTF."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import bcc  # noqa: F401  # its library has to be loaded before its headers can be read
import pytest

from ebpftop.kernel.load.headers import KernelFacts, headers_for
from tests import bcc_tools
from tests.kernel.bcc_child import compile_with
from tests.kernel.bcc_tool_trial import trials
from tests.kernel.loading_support import needs_root, needs_tracefs, start_server

# Files, block requests, sockets, memory, stacks, arguments, helpers' own headers; beside those below.
TOOLS = (
    "biosnoop",
    "filetop",
    "tcptop",
    "slabratetop",
    "offcputime",
    "tcpaccept",
    "mountsnoop",
)


@cache
def facts() -> KernelFacts:
    return KernelFacts.read()


@pytest.fixture(scope="module")
def programs() -> dict[str, bcc_tools.Program]:
    """What the tools compile, by their names. To start what runs them takes longer than most of them."""
    names = sorted({*TOOLS, *DELIVER})
    found = bcc_tools.programs_of([bcc_tools.SBIN / f"{name}-bpfcc" for name in names])
    return dict(zip(names, found, strict=True))


@pytest.mark.skipif(not bcc_tools.tools(), reason="bpfcc-tools is not installed")
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_compiles_unchanged(name: str, programs: dict[str, bcc_tools.Program]) -> None:
    program = programs[name]
    assert program.text, program.problem
    result = compile_with(headers_for(program.text, facts()), program.text, program.flags)
    assert result.programs, result.output[-2000:]


# System calls by the best place there is, tracepoints, raw tracepoints, samples; maps, histograms, stacks, buffers.
DELIVER = (
    "execsnoop",
    "exitsnoop",
    "killsnoop",
    "opensnoop",
    "profile",
    "runqlat",
    "statsnoop",
    "syscount",
    "tcpstates",
)


@needs_root
@needs_tracefs
@pytest.mark.heavy
@pytest.mark.skipif(not bcc_tools.tools(), reason="bpfcc-tools is not installed")
def test_tools_deliver_on_the_workbench(tmp_path: Path, programs: dict[str, bcc_tools.Program]) -> None:
    server = start_server()
    try:
        outcomes = trials([programs[name] for name in DELIVER], tmp_path, server)
    finally:
        server.close()
    assert {one.name: one.reason for one in outcomes if not one.loads} == {}
    assert [one.name for one in outcomes if not one.attached] == []
    assert [one.name for one in outcomes if not one.delivers] == []
