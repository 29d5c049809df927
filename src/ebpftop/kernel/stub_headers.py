"""The headers that BCC's compiler needs, made here: about forty lines instead of a package of a hundred megabytes.

BCC needs a kernel source tree for its force-included bpf.h and for `struct pt_regs`. ebpftop's programs read the kernel
through offsets from BTF (`ebpftop.kernel.btf`), so the tree needs types and nothing that differs between kernels. This
also keeps out the headers of another kernel, with which task->real_parent->tgid silently reads zero.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ebpftop.core.source import SourceError
from ebpftop.kernel.mount_namespace import open_private_folder
from ebpftop.lifecycle.process import process

BASE_TYPES = """\
#pragma once
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
typedef signed char __s8; typedef unsigned char __u8;
typedef short __s16; typedef unsigned short __u16;
typedef int __s32; typedef unsigned int __u32;
typedef long long __s64; typedef unsigned long long __u64;
typedef __s8 s8; typedef __u8 u8; typedef __s16 s16; typedef __u16 u16;
typedef __s32 s32; typedef __u32 u32; typedef __s64 s64; typedef __u64 u64;
typedef __u16 __le16; typedef __u16 __be16; typedef __u32 __le32; typedef __u32 __be32;
typedef __u64 __le64; typedef __u64 __be64; typedef __u16 __sum16; typedef __u32 __wsum;
typedef __s8 int8_t; typedef __u8 uint8_t; typedef __s16 int16_t; typedef __u16 uint16_t;
typedef __s32 int32_t; typedef __u32 uint32_t; typedef __s64 int64_t; typedef __u64 uint64_t;
typedef unsigned long size_t; typedef long ssize_t; typedef unsigned long uintptr_t;
typedef int pid_t; typedef unsigned int uid_t; typedef unsigned int gid_t;
#define __aligned_u64 __u64 __attribute__((aligned(8)))
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define PAGE_SIZE 4096
"""

PT_REGS = {
    "x86": """\
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
""",
    "arm64": """\
struct user_pt_regs { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; };
struct pt_regs {
    union { struct user_pt_regs user_regs; struct { u64 regs[31]; u64 sp; u64 pc; u64 pstate; }; };
    u64 orig_x0; s32 syscallno; u32 unused2;
};
""",
}

KCONFIG_NAME = "include/linux/kconfig.h"
"""BCC accepts a folder as a kernel's source only if this file is in it."""

_EMPTY = (
    "include/uapi/linux/bpf.h",
    "include/uapi/linux/if_packet.h",
    "include/linux/types.h",
    "include/linux/bpf_common.h",
    "include/linux/log2.h",
    "include/linux/ptrace.h",
    "include/linux/sched.h",
)


def kernel_arch(machine: str | None = None) -> str:
    """Return the kernel's name of an architecture ("x86", "arm64") for what `uname -m` says."""
    machine = machine or platform.machine()
    return {"x86_64": "x86", "aarch64": "arm64"}.get(machine, machine)


def _version_header(release: str) -> str:
    numbers = [int("".join(c for c in part if c.isdigit()) or 0) for part in release.split("-")[0].split(".")[:3]]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    code = (major << 16) + (minor << 8) + min(patch, 255)
    return f"#define LINUX_VERSION_CODE {code}\n#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"


def headers() -> Mapping[str, str]:
    """Return the text of every header, by its path."""
    arch = kernel_arch()
    return {
        **dict.fromkeys((*_EMPTY, f"arch/{arch}/include/asm/page.h"), ""),
        KCONFIG_NAME: BASE_TYPES + PT_REGS.get(arch, ""),
        "include/linux/version.h": _version_header(os.uname().release),
    }


KALLSYMS = "kallsyms"
"""The symbol table in the tree that BCC reads while it compiles, instead of the kernel's.

For every file BCC parses all 120,000 lines or more of /proc/kallsyms, a tenth of a second, only to check whether the
kernel has bpf_probe_read_user. All kernels that ebpftop runs on have it (5.5).
"""
KALLSYMS_PLACE = Path("/proc/kallsyms")
KALLSYMS_TEXT = "0000000000000001 T bpf_probe_read_user\n"

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

# The descriptor of the tree that `keep_tree` made, if it did.
_kept_fds: list[int] = []


def keep_tree() -> int | None:
    """Make the tree that all of this process's `header_tree` yield, while we are root; None if refused.

    Return the descriptor that it lives as long as.

    What is compiled is loaded into the kernel. Once we have become the user behind sudo, any process of that user could
    change what we write to a folder of temporary files.
    """
    if _kept_fds:
        return _kept_fds[0]
    if (folder_fd := open_private_folder()) is None:
        return None
    try:
        _write_tree(_path_of(folder_fd))
    except OSError:
        os.close(folder_fd)
        return None
    _kept_fds.append(folder_fd)
    return folder_fd


def _path_of(folder_fd: int) -> Path:
    return Path(f"/proc/self/fd/{folder_fd}")


class HeaderTree(NamedTuple):
    """The headers as the compiler gets them."""

    folder: Path
    """For BCC_KERNEL_SOURCE."""
    flags: tuple[str, ...]


@contextmanager
def header_tree() -> Iterator[HeaderTree]:
    """Yield the headers for one compilation. No other process can change them.

    They are those of `keep_tree`. If that was refused (without root), BCC uses a folder of temporary files that any
    process of our user may write; but a flag makes clang never read it.
    """
    if _kept_fds:
        yield HeaderTree(_path_of(_kept_fds[0]), ())
        return
    folder = _make_folder()
    try:
        with process.undone_at_last(lambda: shutil.rmtree(folder, ignore_errors=True)), _in_memory(folder) as overlay:
            yield HeaderTree(folder, ("-ivfsoverlay", overlay))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _in_memory(folder: Path) -> Iterator[str]:
    """Yield the path of an overlay that shows clang the headers in *folder*, and no other file of the machine.

    Everything that it reads lies in memory without a name, sealed: nobody can change it, not even we
    (https://clang.llvm.org/doxygen/classllvm_1_1vfs_1_1RedirectingFileSystem.html, memfd_create(2), F_ADD_SEALS).
    """
    with ExitStack() as stack:

        def sealed(text: str) -> str:
            file = stack.enter_context(
                open(os.memfd_create("ebpftop-header", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", buffering=0)
            )
            file.write(text.encode())
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            return str(_path_of(file.fileno()))

        places = {text: sealed(text) for text in set(headers().values())}
        roots = [
            {"type": "file", "name": str(folder / name), "external-contents": places[text]}
            for name, text in headers().items()
        ]
        # Without "fallthrough", a file that is not named here does not exist, whatever lies in the folders to search.
        yield sealed(json.dumps({"version": 0, "fallthrough": False, "use-external-names": False, "roots": roots}))


def _write_tree(root: Path) -> None:
    for name, text in {**headers(), KALLSYMS: KALLSYMS_TEXT}.items():
        _write(root / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _make_folder() -> Path:
    """Make the folder that BCC reads, but clang does not: among temporary files or in memory; raises SourceError."""
    failure = None
    for parent in (None, "/run", "/dev/shm"):
        root = None
        try:
            # The path as getcwd(3) returns it: clang uses it to look up names in the overlay.
            root = Path(tempfile.mkdtemp(prefix="ebpftop-headers-", dir=parent)).resolve()
            _write(root / KCONFIG_NAME, "")
            _write(root / KALLSYMS, KALLSYMS_TEXT)
            return root
        except OSError as error:
            failure = failure or error
            if root is not None:
                shutil.rmtree(root, ignore_errors=True)
    reason = failure.strerror if failure else None
    raise SourceError(
        f"the compiler needs a folder for temporary files, and there is none that can be written ({reason})",
        "make room, or name one: TMPDIR=FOLDER",
    ) from failure
