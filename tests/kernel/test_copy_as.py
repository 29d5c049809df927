"""The lines of `C` for bpftrace, tried with bpftrace itself."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from tests.kernel.support import needs_root
from tests.unit.test_copy_as import HOSTILE, NAMES, ROWS, by_tool, with_name

pytestmark = [
    needs_root,
    pytest.mark.skipif(shutil.which("bpftrace") is None, reason="bpftrace is not installed"),
]

# bpftrace looks for tracepoints where tracefs is usually mounted.
_MOUNTED = "test -e /sys/kernel/tracing/events || mount -t tracefs nodev /sys/kernel/tracing; exec "


def bpftrace(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = _MOUNTED + shlex.join(["bpftrace", *arguments])
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize("subject", ROWS, ids=NAMES)
def test_bpftrace_takes_the_lines_of_every_row(subject: object) -> None:
    for words in by_tool("bpftrace", subject):  # type: ignore[arg-type]
        assert words[:3] == ["sudo", "bpftrace", "-e"]
        # As it is, with a probe that ends it once all are attached.
        done = bpftrace("-e", words[3] + " interval:ms:1 { exit(); }")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\\" not in name])
def test_bpftrace_compares_with_the_name_whatever_it_contains(name: str) -> None:
    words, *_ = by_tool("bpftrace", with_name(ROWS[0], name))
    parsed = bpftrace("-d", "-e", words[3])
    assert parsed.returncode == 0, parsed.stderr
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in name.encode())
    assert "string: " + shown.replace(chr(34), chr(92) + chr(34)) + " ::" in parsed.stdout
