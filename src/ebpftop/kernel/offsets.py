"""The kernel structures that ebpftop's programs read, as `-D` flags for their compilation.

From BTF where the kernel has it; else from the headers of this very kernel, if they are installed: a compiler that is
asked for `offsetof` answers in the bytecode that it would load.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel.btf import Btf, BtfError
from ebpftop.kernel.headers import kernel_arch
from ebpftop.source import SourceError

Defines = Mapping[str, int | str]


class _Wanted(NamedTuple):
    name: str
    struct: str
    paths: tuple[str, ...]  # the first that this kernel has; names change between versions
    optional: bool = False


_WANTED = (
    _Wanted("TASK_TGID", "task_struct", ("tgid",)),
    _Wanted("TASK_PID", "task_struct", ("pid",)),
    _Wanted("TASK_GROUP_LEADER", "task_struct", ("group_leader",)),
    _Wanted("TASK_REAL_PARENT", "task_struct", ("real_parent",)),
    _Wanted("TASK_START_BOOTTIME", "task_struct", ("start_boottime", "real_start_time")),
    _Wanted("TASK_THREAD_PID", "task_struct", ("thread_pid",)),
    _Wanted("TASK_CRED", "task_struct", ("cred",)),
    _Wanted("TASK_LOGINUID", "task_struct", ("loginuid",), optional=True),
    _Wanted("TASK_COMM", "task_struct", ("comm",)),
    _Wanted("TASK_MM", "task_struct", ("mm",)),
    _Wanted("TASK_SIGNAL", "task_struct", ("signal",)),
    _Wanted("TASK_EXIT_CODE", "task_struct", ("exit_code",)),
    _Wanted("TASK_CGROUPS", "task_struct", ("cgroups",)),
    # Only x86 tells a 32-bit call by this; elsewhere `status` is absent.
    _Wanted("TASK_STATUS", "task_struct", ("thread_info.status",), optional=True),
    # There, these do.
    _Wanted("TASK_FLAGS", "task_struct", ("thread_info.flags",), optional=True),
    _Wanted("PID_LEVEL", "pid", ("level",)),
    _Wanted("PID_NUMBERS", "pid", ("numbers",)),
    _Wanted("UPID_NR", "upid", ("nr",)),
    _Wanted("UPID_NS", "upid", ("ns",)),
    _Wanted("PIDNS_INUM", "pid_namespace", ("ns.inum",)),
    _Wanted("CRED_EUID", "cred", ("euid",)),
    _Wanted("CRED_USER_NS", "cred", ("user_ns",)),
    _Wanted("USERNS_PARENT", "user_namespace", ("parent",)),
    _Wanted("USERNS_INUM", "user_namespace", ("ns.inum",)),
    _Wanted("USERNS_UID_MAP", "user_namespace", ("uid_map",)),
    # Without these, users of containers are counted all the same, but not told by their names in there.
    _Wanted("UIDMAP_EXTENTS", "uid_gid_map", ("extent",), optional=True),
    _Wanted("UIDMAP_COUNT", "uid_gid_map", ("nr_extents",), optional=True),
    _Wanted("SIGNAL_LIVE", "signal_struct", ("live",)),
    _Wanted("SIGNAL_FLAGS", "signal_struct", ("flags",)),
    _Wanted("SIGNAL_EXIT_CODE", "signal_struct", ("group_exit_code",)),
    _Wanted("BINPRM_FILENAME", "linux_binprm", ("filename",)),
    _Wanted("BINPRM_INTERP", "linux_binprm", ("interp",)),
    _Wanted("MM_ARG_START", "mm_struct", ("arg_start",)),
    _Wanted("MM_ARG_END", "mm_struct", ("arg_end",)),
    _Wanted("CSS_SET_DFL_CGRP", "css_set", ("dfl_cgrp",)),
    _Wanted("CSS_SET_SUBSYS", "css_set", ("subsys",)),
    _Wanted("CSS_CGROUP", "cgroup_subsys_state", ("cgroup",)),
    _Wanted("CGROUP_KN", "cgroup", ("kn",)),
    _Wanted("KERNFS_PARENT", "kernfs_node", ("__parent", "parent")),
    _Wanted("KERNFS_NAME", "kernfs_node", ("name",)),
)

# The user's registers at a system call, in the order of its arguments: arch/x86/entry/calling.h,
# arch/arm64/kernel/syscall.c.
_REGS = {
    "x86": ("orig_ax", ("di", "si", "dx", "r10", "r8", "r9"), ("bx", "cx", "dx", "si", "di", "bp")),
    "arm64": ("syscallno", ("orig_x0", "regs+8", "regs+16", "regs+24", "regs+32", "regs+40"), None),
}

_HEADERS_C = """
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/binfmts.h>
#include <linux/cred.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <linux/mm_types.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#include <linux/ptrace.h>
"""


def _registers() -> list[_Wanted]:
    try:
        number, arguments, compat = _REGS[kernel_arch()]
    except KeyError:
        raise SourceError(f"{platform.machine()} is not supported", "ebpftop runs on x86_64 and aarch64") from None
    wanted = [_Wanted("REGS_NR", "pt_regs", (number,))]
    for prefix, names in (("REGS_ARG", arguments), ("REGS_COMPAT_ARG", compat or arguments)):
        wanted += [_Wanted(f"{prefix}{i}", "pt_regs", (name,)) for i, name in enumerate(names, 1)]
    return wanted


def from_btf(btf: Btf) -> Defines:
    """Return the flags that describe the kernel of *btf*; raises BtfError where a structure is not what we know."""
    defines: dict[str, int | str] = {}
    for wanted in (*_WANTED, *_registers()):
        for path in wanted.paths:
            member, _, plus = path.partition("+")
            if btf.has(wanted.struct, member):
                defines[f"OFF_{wanted.name}"] = btf.offset(wanted.struct, member) + int(plus or 0)
                break
        else:
            if not wanted.optional:
                raise BtfError(f"struct {wanted.struct} of this kernel has no {' or '.join(wanted.paths)}")
    defines["SIZE_UPID"] = 16
    pids_id = btf.enum("cgroup_subsys_id", "pids_cgrp_id")
    if pids_id is not None:
        defines["CSS_PIDS_ID"] = pids_id
    return defines


def own_headers() -> Path | None:
    """Return where the headers of the running kernel, and of no other, are installed."""
    path = Path("/lib/modules", os.uname().release, "build")
    return path if (path / "include/linux/kconfig.h").exists() else None


def from_headers() -> Defines:
    """Return the flags by compiling `offsetof` against this kernel's own headers; about a second."""
    from ebpftop.kernel.loader import function_bytecode

    defines: dict[str, int | str] = {}
    for wanted in (*_WANTED, *_registers()):
        for path in wanted.paths:
            member, _, plus = path.partition("+")
            source = f"{_HEADERS_C}\nint offset(void *ctx) {{ return offsetof(struct {wanted.struct}, {member}); }}\n"
            code = function_bytecode(source, "offset")
            if code is not None:
                defines[f"OFF_{wanted.name}"] = _returned(code) + int(plus or 0)
                break
        else:
            if not wanted.optional:
                raise BtfError(f"the headers of this kernel have no {wanted.struct}.{' or '.join(wanted.paths)}")
    defines["SIZE_UPID"] = 16
    return defines


def _returned(code: bytes) -> int:
    """Return N of the bytecode of `return N`: the immediate of its first instruction (struct bpf_insn)."""
    opcode, _, _, immediate = struct.unpack_from("<BBhi", code)
    if opcode != 0xB7:  # BPF_ALU64 | BPF_MOV | BPF_K
        raise BtfError("the compiler did not answer with a constant")
    return int(immediate)


def headers_package() -> str:
    """Return what to install so that this kernel has headers."""
    release = os.uname().release
    os_release = Path("/etc/os-release")
    family = os_release.read_text() if os_release.exists() else ""
    if "fedora" in family or "rhel" in family:
        return f"dnf install kernel-devel-{release}"
    if "arch" in family:
        return "pacman -S linux-headers"
    return f"apt-get install linux-headers-{release}"


def of_running_kernel() -> Defines:
    """Return the flags for the running kernel; SourceError, naming the package, where nothing describes it."""
    try:
        return from_btf(Btf.running())
    except BtfError as error:
        if own_headers() is None:
            raise SourceError(
                f"this kernel has no usable BTF ({error}) and no headers of its own are installed", headers_package()
            ) from error
    try:
        return from_headers()
    except BtfError as error:
        raise SourceError(f"this kernel has no BTF, and its headers do not help: {error}") from error
