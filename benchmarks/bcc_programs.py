#!/usr/bin/env python3
"""Which programs in C of Debian's bpfcc-tools compile without a change, with headers that are made of BTF alone.

    sudo .venv/bin/python benchmarks/bcc_programs.py [--tools] [NAME ..]

Takes the C out of each installed tool and example (`apt install bpfcc-tools`; nothing of it is kept), makes the headers
that its words ask for, and compiles it in a process of its own with limits. Prints a line for each: if it compiles,
how many functions it has, the size of the headers, the time for making them and for compiling; and what clang says of
those that do not. --tools: without the examples.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "src")]

import bcc  # noqa: E402, F401  # its library has to be loaded before its headers can be read
from tests import bcc_tools  # noqa: E402
from tests.kernel.bcc_child import compile_with  # noqa: E402

from ebpftop.kernel import tracefs  # noqa: E402
from ebpftop.kernel.load.headers import KernelFacts, headers_for  # noqa: E402
from ebpftop.kernel.stub_headers import KCONFIG_NAME  # noqa: E402


def main() -> int:
    """Print the table; return 0 if all of them compile."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", action="store_true", help="without the examples")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    options = parser.parse_args()
    if not bcc_tools.tools():
        return _failed("bpfcc-tools is not installed: sudo apt install bpfcc-tools")
    if tracefs.mount_privately() is None:
        return _failed("tracefs cannot be mounted: programs of tracepoints would not compile")
    began_s = time.process_time()
    facts = KernelFacts.read()
    print(f"BTF, BCC's names and the configuration: {time.process_time() - began_s:.2f} s\n")
    print(f"{'PROGRAM':42} {'':8} {'FUNCTIONS':>9} {'HEADER kB':>9} {'HEADERS ms':>10} {'COMPILE s':>9}")
    paths = [*bcc_tools.tools(), *(() if options.tools else bcc_tools.examples())]
    chosen = [path for path in paths if not options.names or bcc_tools.name_of(path) in options.names]
    compiled = failed = absent = 0
    for program in bcc_tools.programs_of(chosen):
        if not program.text:
            absent += 1
            print(f"{program.name:42} {'no C':8} {program.problem}")
            continue
        began_s = time.process_time()
        headers = headers_for(program.text, facts)
        made_ms = 1000 * (time.process_time() - began_s)
        began_s = time.monotonic()
        result = compile_with(headers, program.text, program.flags)
        took_s = time.monotonic() - began_s
        errors = [line for line in result.output.splitlines() if "error:" in line]
        works = bool(result.programs) or not errors
        compiled, failed = compiled + works, failed + (not works)
        size_kb = len(headers[KCONFIG_NAME]) / 1000
        word = "compiles" if works else "fails"
        print(f"{program.name:42} {word:8} {len(result.programs):9} {size_kb:9.0f} {made_ms:10.1f} {took_s:9.2f}")
        for line in errors[:3]:
            print(f"    {line}")
    print(f"\n{compiled} of {compiled + failed} compile unchanged; {absent} need something else first to make their C")
    return 1 if failed else 0


def _failed(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
