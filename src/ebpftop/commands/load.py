"""`ebpftop load FILE.c`: the screen, on a BPF program of one's own."""

from __future__ import annotations

import argparse

from ebpftop.commands import live
from ebpftop.commands.kernel_options import load_request


def run(args: argparse.Namespace) -> int:
    """Show the workbench until q."""
    load_request(args)  # a file that is not there is said before anything else is
    return live.run(args)
