"""`ebpftop demo`: the screen on a recording that ships with ebpftop. Needs no root, no bcc and no Linux."""

from __future__ import annotations

import argparse
from importlib.resources import as_file, files

from ebpftop.commands.replay import need_terminal, show, speed_of
from ebpftop.recording.reader import open_file

RECORDING = "demo/demo.jsonl.zst"


def run(args: argparse.Namespace) -> int:
    """Play the recording once; its last moment stays on the screen until the user quits."""
    speed = speed_of(args)
    need_terminal(args.memory, "the demo is a screen; `ebpftop stream` writes records")
    with as_file(files("ebpftop").joinpath(RECORDING)) as path:
        return show(open_file(str(path)), str(path), speed, args.when, args.settings)
