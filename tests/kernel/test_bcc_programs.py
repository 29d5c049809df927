"""BCC's own tools, as Debian installs them: their C compiles unchanged, with headers that are made of BTF."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import bcc  # noqa: F401  # its library has to be loaded before its headers can be read
import pytest

from ebpftop.kernel.load.headers import KernelFacts, headers_for
from tests import bcc_tools
from tests.kernel.bcc_child import compile_with
from tests.kernel.bcc_tool_trial import trial
from tests.kernel.loading_support import LoadServer, needs_root, needs_tracefs, start_server

# Files, block requests, sockets, the scheduler, memory, stacks, arguments, helpers' own headers.
TOOLS = (
    "biosnoop",
    "filetop",
    "tcptop",
    "runqlat",
    "slabratetop",
    "offcputime",
    "execsnoop",
    "tcpaccept",
    "mountsnoop",
)


@cache
def facts() -> KernelFacts:
    return KernelFacts.read()


@pytest.mark.skipif(not bcc_tools.tools(), reason="bpfcc-tools is not installed")
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_compiles_unchanged(name: str) -> None:
    (program,) = bcc_tools.programs_of([bcc_tools.SBIN / f"{name}-bpfcc"])
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


@pytest.fixture(scope="module")
def running() -> Iterator[LoadServer]:
    server = start_server()
    yield server
    server.close()


@needs_root
@needs_tracefs
@pytest.mark.heavy
@pytest.mark.skipif(not bcc_tools.tools(), reason="bpfcc-tools is not installed")
@pytest.mark.parametrize("name", DELIVER)
def test_a_tool_delivers_on_the_workbench(name: str, tmp_path: Path, running: LoadServer) -> None:
    (program,) = bcc_tools.programs_of([bcc_tools.SBIN / f"{name}-bpfcc"])
    outcome = trial(program, tmp_path, running)
    assert outcome.loads, outcome.reason
    assert outcome.attached
    assert outcome.delivers
