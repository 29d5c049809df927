"""BCC's own tools, as Debian installs them: their C compiles unchanged, with headers that are made of BTF."""

from __future__ import annotations

from functools import cache

import bcc  # noqa: F401  # its library has to be loaded before its headers can be read
import pytest

from ebpftop.kernel.load.headers import KernelFacts, headers_for
from tests import bcc_tools
from tests.kernel.bcc_child import compile_with

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
    program = bcc_tools.program_of(bcc_tools.SBIN / f"{name}-bpfcc")
    assert program.text, program.problem
    result = compile_with(headers_for(program.text, facts()), program.text, program.flags)
    assert result.programs, result.output[-2000:]
