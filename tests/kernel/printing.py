"""Another program of the machine: it prints at every program that two users start. `python -m tests.kernel.printing`"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebpftop.kernel.defines import kernel_defines
from ebpftop.kernel.loader import Module

# The second line of a message is told with the first.
PROGRAM = """
#include "ebpftop.h"

int say(struct bpf_raw_tracepoint_args *ctx)
{
	u32 uid = bpf_get_current_uid_gid();

	if (uid == ONE_UID || uid == OTHER_UID)
		bpf_trace_printk(MARK " %d\\nand more\\n", bpf_get_current_pid_tgid() >> 32);
	return 0;
}
"""


@contextmanager
def printing(mark: str, uid: int, other_uid: int) -> Iterator[None]:
    """Have "*mark* PID" printed for every program that *uid* or *other_uid* starts."""
    command = [sys.executable, "-m", "tests.kernel.printing", mark, str(uid), str(other_uid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            child.stdin.close()
    assert child.returncode == 0


def main() -> None:
    """Print until the standard input is closed."""
    mark, uid, other_uid = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "say.c")
        file.write_text(PROGRAM)
        own: dict[str, int | str] = {"MARK": f'"{mark}"', "ONE_UID": uid, "OTHER_UID": other_uid}
        module = Module(str(file), {**kernel_defines(), **own})
    module.attach("raw_tracepoint", "sched_process_exec", "say")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    module.close()


if __name__ == "__main__":
    main()
