"""Programs at network devices without a link, as `ip` and `tc` attach them, in a network namespace of the test."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from pathlib import Path

from ebpftop.kernel import bpf_programs, bpf_syscall
from ebpftop.kernel.bpf_syscall import RETURN_ZERO, Program
from ebpftop.kernel.device_programs import DeviceProgram, attached_to_devices
from tests.kernel.support import needs_root

pytestmark = needs_root

_PIN, _XDP, _SCHED_CLS = 6, 6, 3
ATTACH = """
mount -t bpf none "$0"
"$1" -m tests.kernel.test_device_programs "$0"
"""


def test_programs_that_ip_and_tc_attached(tmp_path: Path) -> None:
    command = ["unshare", "--net", "--mount", "sh", "-e", "-c", ATTACH, str(tmp_path), sys.executable]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def pinned(kind: int, path: Path) -> int:
    """Load a program and pin it; return its id."""
    fd = bpf_syscall.load_program(Program(kind, path.name, RETURN_ZERO, "GPL", 0))
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf_syscall.bpf(_PIN, struct.pack("=QII", ctypes.addressof(name), fd, 0))
    return bpf_programs.program_id(fd)


def in_the_namespace(folder: Path) -> None:
    """Attach, and compare: what the test does in the namespace."""
    assert attached_to_devices(filters=True) == []
    xdp, tc = pinned(_XDP, folder / "x"), pinned(_SCHED_CLS, folder / "t")
    for line in (
        f"ip link set lo xdpgeneric pinned {folder}/x",
        "tc qdisc add dev lo clsact",
        f"tc filter add dev lo ingress bpf da object-pinned {folder}/t",
        f"tc filter add dev lo egress bpf da object-pinned {folder}/t",
    ):
        subprocess.run(line.split(), check=True)
    at_lo = [DeviceProgram(xdp, b"lo", "xdp"), *(DeviceProgram(tc, b"lo", hook) for hook in ("ingress", "egress"))]
    assert attached_to_devices(filters=True) == at_lo
    assert attached_to_devices(filters=False) == at_lo[:1]


if __name__ == "__main__":
    in_the_namespace(Path(sys.argv[1]))
