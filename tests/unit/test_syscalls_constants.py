"""The numbers of the words in syscalls/constants.py are those of the C headers, as far as this machine's know them.

The tables themselves are not made from headers: which words belong to an argument, and which of two words for a number
comes first, stands in no header; and headers of a distribution know fewer words than its kernels have.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ebpftop.syscalls import constants

# The kernel's own headers first. The C library's have words that the kernel's do not export (AF_*, MSG_*, MNT_*).
KERNEL = (
    "asm/fcntl.h asm/ioctls.h asm/mman.h asm/prctl.h asm/resource.h asm/signal.h asm/socket.h linux/bpf.h "
    "linux/close_range.h linux/eventpoll.h linux/falloc.h linux/fadvise.h linux/fanotify.h linux/fcntl.h linux/fs.h "
    "linux/futex.h linux/in.h linux/inotify.h linux/io_uring.h linux/ioprio.h linux/ipc.h linux/kvm.h linux/memfd.h "
    "linux/membarrier.h linux/mman.h linux/module.h linux/mount.h linux/netlink.h linux/nsfs.h linux/openat2.h "
    "linux/perf_event.h linux/pidfd.h linux/prctl.h linux/ptrace.h linux/random.h linux/resource.h linux/sched.h "
    "linux/seccomp.h linux/shm.h linux/signalfd.h linux/sockios.h linux/stat.h linux/tcp.h linux/time.h "
    "linux/blkpg.h linux/fiemap.h linux/if_tun.h linux/loop.h linux/rtc.h "
    "linux/timerfd.h linux/udp.h linux/userfaultfd.h linux/wait.h linux/xattr.h"
)
LIBRARY = (
    "unistd.h fcntl.h signal.h sys/eventfd.h sys/file.h sys/klog.h sys/mount.h sys/mman.h sys/ptrace.h sys/resource.h "
    "sys/shm.h sys/socket.h sys/stat.h sys/uio.h sys/wait.h netinet/in.h netinet/tcp.h sched.h"
)
# Headers define F_*LK64 with these numbers for 32-bit programs only; elsewhere it is another word for F_*LK.
OTHER_HERE = re.compile(r"F_(?:GETLK|SETLK|SETLKW)64")


def words() -> Iterator[tuple[str, int]]:
    """Yield each word that an argument is shown by, and the number that it stands for."""
    for table in constants.WORDS.values():
        for numbers in (table.choices, table.flags, {} if table.zero == "0" else {0: table.zero}):
            yield from ((word, number) for number, word in numbers.items())


def numbers_in(headers: str, names: Iterable[str], folder: Path) -> Mapping[str, int]:
    """Return the numbers of *names* as a C program has them that includes *headers*; unknown names are missing."""
    known = sorted(names)
    program = folder / "numbers"
    while True:
        source = "#define _GNU_SOURCE\n" + "".join(f"#include <{header}>\n" for header in headers.split())
        source += "#include <stdio.h>\nint main(void)\n{\n"
        for line, name in enumerate(known, 1):
            source += f'#line {line} "names"\nprintf("{name} %llx\\n", (unsigned long long)({name}));\n'
        done = subprocess.run(
            ["gcc", "-w", "-fmax-errors=0", "-x", "c", "-o", program, "-"],
            input=source + "}\n", capture_output=True, text=True, check=False,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        unknown = {known[int(line) - 1] for line in re.findall(r"^names:(\d+):\d+: error", done.stderr, re.MULTILINE)}
        if not unknown:
            break
        known = [name for name in known if name not in unknown]
    assert done.returncode == 0, done.stderr
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    return {name: int(number, 16) for name, number in map(str.split, printed)}


def test_every_word_has_the_number_of_the_headers(tmp_path: Path) -> None:
    ours = [(word, number) for word, number in words() if not OTHER_HERE.fullmatch(word)]
    names = {word for word, _ in ours}
    theirs = {**numbers_in(LIBRARY, names, tmp_path), **numbers_in(KERNEL, names, tmp_path)}
    wrong = {
        word: (number, theirs[word])
        for word, number in ours
        if word in theirs and (number ^ theirs[word]) & 0xFFFF_FFFF
    }
    assert wrong == {}
    assert len(theirs) > 0.9 * len(names), sorted(names - theirs.keys())
