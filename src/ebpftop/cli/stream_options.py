"""The options of the commands that write records: `stream`, `record`."""

from __future__ import annotations

import argparse

from ebpftop.cli.options import add_load, add_watching, add_when, add_when_actions, add_when_exit
from ebpftop.settings import values


def add_stream(command: argparse.ArgumentParser) -> None:
    """Add those of `stream`."""
    command.add_argument(
        "--compress",
        action="store_true",
        help="write zstd frames, a seventh of the bytes, each line at most half an interval late; "
        "replay, diff, convert and zstdcat read them",
    )
    _stream_and_record(command)


def _stream_and_record(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--duration", type=values.seconds, metavar="S", help="stop by itself, S seconds after the start"
    )
    command.add_argument(
        "--own-programs",
        action="store_true",
        help="record what ebpftop itself has loaded, too: programs, code, maps, source. `replay` shows it in the sheet "
        "of a probe; it takes some 100 kB a probe",
    )
    command.add_argument(
        "--host-field",
        action="store_true",
        help="each record has the name of this machine, as the field `host`: so those of several can come together",
    )
    command.add_argument(
        "--host-name",
        type=values.host,
        metavar="NAME",
        help="what this machine is called in the header, and with --host-field; if not given, its node name",
    )
    command.add_argument(
        "--processes",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="`syscalls` has which process and user makes which call; on (without it its readings are half as large)",
    )
    add_load(command)
    add_watching(command, loads=True)
    when = add_when(command, "say so on stderr")
    add_when_actions(when)
    add_when_exit(when)


def add_record(command: argparse.ArgumentParser) -> None:
    """Add those of `record`."""
    command.add_argument("file", type=values.new_file, metavar="FILE", help="FILE.zst is compressed")
    command.add_argument("--force", action="store_true", help="overwrite FILE")
    command.add_argument(
        "--rotate",
        type=values.part_limit,
        metavar="SIZE|TIME",
        help="write parts, FILE with the time in its name: a new one after so much of it, as 100MB or 1h",
    )
    command.add_argument(
        "--keep",
        dest="keep_parts",
        type=values.kept_parts,
        metavar="N",
        help="of --rotate: the newest N parts of FILE stay, older ones are removed",
    )
    _stream_and_record(command)
