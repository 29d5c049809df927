"""The fields of kernel structures that ebpftop's programs read."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import NamedTuple

from ebpftop.core.source import SourceError
from ebpftop.kernel.stub_headers import kernel_arch

Defines = Mapping[str, int | str]


class Field(NamedTuple):
    """A field of a kernel structure: an offset, or at least its name, that a program needs."""

    name: str
    struct: str
    paths: tuple[str, ...]  # the first that this kernel has; names change between versions
    optional: bool = False


_FIELDS = (
    Field("TASK_TGID", "task_struct", ("tgid",)),
    Field("TASK_PID", "task_struct", ("pid",)),
    Field("TASK_GROUP_LEADER", "task_struct", ("group_leader",)),
    Field("TASK_REAL_PARENT", "task_struct", ("real_parent",)),
    Field("TASK_START_BOOTTIME", "task_struct", ("start_boottime", "real_start_time")),
    Field("TASK_THREAD_PID", "task_struct", ("thread_pid",)),
    Field("TASK_CRED", "task_struct", ("cred",)),
    Field("TASK_LOGINUID", "task_struct", ("loginuid",), optional=True),
    Field("TASK_COMM", "task_struct", ("comm",)),
    Field("TASK_MM", "task_struct", ("mm",)),
    Field("TASK_SIGNAL", "task_struct", ("signal",)),
    Field("TASK_EXIT_CODE", "task_struct", ("exit_code",)),
    Field("TASK_CGROUPS", "task_struct", ("cgroups",)),
    # Only x86 marks a 32-bit call by this; elsewhere `status` is absent.
    Field("TASK_STATUS", "task_struct", ("thread_info.status",), optional=True),
    # Elsewhere, these mark it.
    Field("TASK_FLAGS", "task_struct", ("thread_info.flags",), optional=True),
    # What a thread does, and where it entered the kernel (bpf/states.c).
    Field("TASK_STATE", "task_struct", ("__state", "state")),
    Field("TASK_STACK", "task_struct", ("stack",)),
    # Only on arm64 it lies here.
    Field("TASK_PREEMPT_COUNT", "task_struct", ("thread_info.preempt.count",), optional=True),
    Field("PID_LEVEL", "pid", ("level",)),
    Field("PID_NUMBERS", "pid", ("numbers",)),
    Field("UPID_NR", "upid", ("nr",)),
    Field("UPID_NS", "upid", ("ns",)),
    Field("PIDNS_INUM", "pid_namespace", ("ns.inum",)),
    Field("CRED_UID", "cred", ("uid",)),
    Field("CRED_EUID", "cred", ("euid",)),
    Field("CRED_USER_NS", "cred", ("user_ns",)),
    Field("USERNS_PARENT", "user_namespace", ("parent",)),
    Field("USERNS_INUM", "user_namespace", ("ns.inum",)),
    Field("USERNS_UID_MAP", "user_namespace", ("uid_map",)),
    # Without these, users of containers are still counted, but without their uids inside the container.
    Field("UIDMAP_EXTENTS", "uid_gid_map", ("extent",), optional=True),
    Field("UIDMAP_COUNT", "uid_gid_map", ("nr_extents",), optional=True),
    Field("SIGNAL_LIVE", "signal_struct", ("live",)),
    Field("SIGNAL_NR_THREADS", "signal_struct", ("nr_threads",)),
    Field("SIGNAL_FLAGS", "signal_struct", ("flags",)),
    Field("SIGNAL_EXIT_CODE", "signal_struct", ("group_exit_code",)),
    # What a process used: its threads that were reaped are summed up in signal_struct, the others have their own.
    Field("TASK_UTIME", "task_struct", ("utime",)),
    Field("TASK_STIME", "task_struct", ("stime",)),
    Field("TASK_RUNTIME", "task_struct", ("se.sum_exec_runtime",)),
    # Without these, the time since the last clock tick is missing, or (the last four) has interrupts in it.
    Field("TASK_EXEC_START", "task_struct", ("se.exec_start",)),
    Field("TASK_LAST_QUEUED", "task_struct", ("sched_info.last_queued",), optional=True),
    Field("TASK_CFS_RQ", "task_struct", ("se.cfs_rq",), optional=True),
    Field("CFS_RQ_RQ", "cfs_rq", ("rq",), optional=True),
    Field("RQ_CLOCK", "rq", ("clock",), optional=True),
    Field("RQ_CLOCK_TASK", "rq", ("clock_task",), optional=True),
    Field("TASK_MIN_FLT", "task_struct", ("min_flt",)),
    Field("TASK_MAJ_FLT", "task_struct", ("maj_flt",)),
    Field("TASK_RCHAR", "task_struct", ("ioac.rchar",), optional=True),
    Field("TASK_WCHAR", "task_struct", ("ioac.wchar",), optional=True),
    Field("TASK_READ_BYTES", "task_struct", ("ioac.read_bytes",), optional=True),
    Field("TASK_WRITE_BYTES", "task_struct", ("ioac.write_bytes",), optional=True),
    Field("TASK_THREAD_NODE", "task_struct", ("thread_node",)),
    Field("TASK_PF", "task_struct", ("flags",)),
    Field("TASK_SIGHAND", "task_struct", ("sighand",)),
    Field("SIGHAND_ACTION", "sighand_struct", ("action",)),
    Field("SIGNAL_UTIME", "signal_struct", ("utime",)),
    Field("SIGNAL_STIME", "signal_struct", ("stime",)),
    Field("SIGNAL_RUNTIME", "signal_struct", ("sum_sched_runtime",)),
    Field("SIGNAL_MIN_FLT", "signal_struct", ("min_flt",)),
    Field("SIGNAL_MAJ_FLT", "signal_struct", ("maj_flt",)),
    Field("SIGNAL_MAXRSS", "signal_struct", ("maxrss",)),
    Field("SIGNAL_RCHAR", "signal_struct", ("ioac.rchar",), optional=True),
    Field("SIGNAL_WCHAR", "signal_struct", ("ioac.wchar",), optional=True),
    Field("SIGNAL_READ_BYTES", "signal_struct", ("ioac.read_bytes",), optional=True),
    Field("SIGNAL_WRITE_BYTES", "signal_struct", ("ioac.write_bytes",), optional=True),
    Field("SIGNAL_THREAD_HEAD", "signal_struct", ("thread_head",)),
    Field("SIGNAL_OOM_MM", "signal_struct", ("oom_mm",), optional=True),
    Field("BINPRM_P", "linux_binprm", ("p",)),
    Field("BINPRM_EXEC", "linux_binprm", ("exec",)),
    Field("BINPRM_ARGC", "linux_binprm", ("argc",)),
    Field("BINPRM_FILENAME", "linux_binprm", ("filename",)),
    Field("BINPRM_INTERP", "linux_binprm", ("interp",)),
    Field("MM_ARG_START", "mm_struct", ("arg_start",)),
    Field("MM_ARG_END", "mm_struct", ("arg_end",)),
    Field("MM_ENV_START", "mm_struct", ("env_start",)),
    Field("MM_ENV_END", "mm_struct", ("env_end",)),
    Field("CSS_SET_DFL_CGRP", "css_set", ("dfl_cgrp",)),
    Field("CSS_SET_SUBSYS", "css_set", ("subsys",)),
    Field("CSS_CGROUP", "cgroup_subsys_state", ("cgroup",)),
    Field("CGROUP_KN", "cgroup", ("kn",)),
    Field("CGROUP_LEVEL", "cgroup", ("level",)),
    # Before 6.1; later kernels have a helper for it.
    Field("CGROUP_ANCESTOR_IDS", "cgroup", ("ancestor_ids",), optional=True),
    # From 6.1 on; read only for cgroup v1, for which there is no helper.
    Field("CGROUP_ANCESTORS", "cgroup", ("ancestors",), optional=True),
    Field("KERNFS_ID", "kernfs_node", ("id",), optional=True),
    # Without these, a cgroup that is created again is found by its path, a moment later.
    Field("CGROUP_ROOT", "cgroup", ("root",), optional=True),
    Field("CGROUP_ROOT_HIERARCHY_ID", "cgroup_root", ("hierarchy_id",), optional=True),
    Field("CGROUP_ROOT_SUBSYS_MASK", "cgroup_root", ("subsys_mask",), optional=True),
    Field("KERNFS_PARENT", "kernfs_node", ("__parent", "parent")),
    Field("KERNFS_NAME", "kernfs_node", ("name",)),
    # Where a program runs (bpf/execs_places.h).
    Field("TASK_FS", "task_struct", ("fs",)),
    Field("TASK_FILES", "task_struct", ("files",)),
    Field("MM_EXE_FILE", "mm_struct", ("exe_file",)),
    Field("FS_ROOT", "fs_struct", ("root",)),
    Field("FS_PWD", "fs_struct", ("pwd",)),
    Field("FILES_FDT", "files_struct", ("fdt",)),
    Field("FDTABLE_FD", "fdtable", ("fd",)),
    Field("FDTABLE_MAX_FDS", "fdtable", ("max_fds",)),
    Field("FILE_PATH", "file", ("f_path",)),
    Field("FILE_INODE", "file", ("f_inode",)),
    Field("PATH_MNT", "path", ("mnt",)),
    Field("PATH_DENTRY", "path", ("dentry",)),
    Field("DENTRY_HASHED", "dentry", ("d_hash.pprev",)),
    Field("DENTRY_PARENT", "dentry", ("d_parent",)),
    Field("DENTRY_NAME", "dentry", ("d_name.name",)),
    Field("DENTRY_INODE", "dentry", ("d_inode",)),
    Field("DENTRY_SB", "dentry", ("d_sb",)),
    Field("SB_MAGIC", "super_block", ("s_magic",)),
    Field("INODE_INO", "inode", ("i_ino",)),
    Field("INODE_MODE", "inode", ("i_mode",)),
    Field("INODE_RDEV", "inode", ("i_rdev",)),
    Field("VFSMOUNT_ROOT", "vfsmount", ("mnt_root",)),
    Field("MOUNT_PARENT", "mount", ("mnt_parent",)),
    Field("MOUNT_MOUNTPOINT", "mount", ("mnt_mountpoint",)),
    Field("MOUNT_MNT", "mount", ("mnt",)),
    Field("SIGNAL_TTY", "signal_struct", ("tty",)),
    Field("SIGNAL_PIDS", "signal_struct", ("pids",)),
    Field("TTY_NAME", "tty_struct", ("name",)),
    # The ends of a socket (bpf/syscalls_walks.h). Without them it is known by its inode: where there is no BTF, since
    # net/sock.h includes what does not compile outside the kernel's own tree.
    Field("FILE_PRIVATE", "file", ("private_data",)),
    Field("SOCKET_SK", "socket", ("sk",), optional=True),
    Field("SOCK_TYPE", "sock", ("sk_type",), optional=True),
    Field("SOCK_PROTOCOL", "sock", ("sk_protocol",), optional=True),
    Field("SOCK_FAMILY", "sock_common", ("skc_family",), optional=True),
    Field("SOCK_STATE", "sock_common", ("skc_state",), optional=True),
    Field("SOCK_NUM", "sock_common", ("skc_num",), optional=True),
    Field("SOCK_DPORT", "sock_common", ("skc_dport",), optional=True),
    Field("SOCK_DADDR", "sock_common", ("skc_daddr",), optional=True),
    Field("SOCK_RCV_SADDR", "sock_common", ("skc_rcv_saddr",), optional=True),
    Field("SOCK_V6_DADDR", "sock_common", ("skc_v6_daddr",), optional=True),
    Field("SOCK_V6_RCV_SADDR", "sock_common", ("skc_v6_rcv_saddr",), optional=True),
)

# The user's registers at a system call, in the order of its arguments: arch/x86/entry/calling.h,
# arch/arm64/kernel/syscall.c.
_REGS = {
    "x86": ("orig_ax", ("di", "si", "dx", "r10", "r8", "r9"), ("bx", "cx", "dx", "si", "di", "bp")),
    "arm64": ("syscallno", ("orig_x0", "regs+8", "regs+16", "regs+24", "regs+32", "regs+40"), None),
}


def all_fields() -> tuple[Field, ...]:
    """Return every field that ebpftop's programs read."""
    return (*_FIELDS, *_registers())


def _registers() -> list[Field]:
    try:
        number, arguments, compat = _REGS[kernel_arch()]
    except KeyError:
        raise SourceError(f"{platform.machine()} is not supported", "ebpftop runs on x86_64 and aarch64") from None
    fields = [Field("REGS_NR", "pt_regs", (number,)), Field("REGS_SP", "pt_regs", ("sp",))]
    for prefix, names in (("REGS_ARG", arguments), ("REGS_COMPAT_ARG", compat or arguments)):
        fields += [Field(f"{prefix}{i}", "pt_regs", (name,)) for i, name in enumerate(names, 1)]
    return fields
