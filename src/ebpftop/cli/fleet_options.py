"""The options of `fleet`."""

from __future__ import annotations

import argparse

from ebpftop.cli.options import add_screen
from ebpftop.settings import values


def add_fleet(command: argparse.ArgumentParser) -> None:
    """Add those of `fleet`."""
    command.add_argument(
        "hosts",
        type=values.fleet_host,
        nargs="*",
        metavar="HOST",
        help="as ssh has it: web1, root@web1; - alone: lines `host: {json}` from stdin, as clush has them",
    )
    command.add_argument(
        "--hosts-file", metavar="FILE", help="a file with a host a line; # begins a comment, - is stdin"
    )
    command.add_argument(
        "--prometheus",
        type=values.web_address,
        metavar="URL",
        help="the hosts that this Prometheus knows by `ebpftop serve`, as http://host:9090, instead of HOST",
    )
    ssh = command.add_argument_group("how hosts are reached; ssh never asks for a password")
    ssh.add_argument(
        "--ssh-command",
        type=values.words,
        default=("ssh",),
        metavar="CMD",
        help="instead of ssh, as 'ssh -F FILE -p 2222'",
    )
    ssh.add_argument(
        "--remote",
        type=values.remote,
        metavar="CMD",
        help="what runs ebpftop there, as 'sudo -n /opt/bin/ebpftop'; else ebpftop, by sudo unless root logs in",
    )
    ssh.add_argument(
        "--stream",
        type=values.words,
        default=(),
        metavar="OPTIONS",
        help="more options of `ebpftop stream` there, as '--interval 5 --not-comm sleep'",
    )
    add_screen(command)
