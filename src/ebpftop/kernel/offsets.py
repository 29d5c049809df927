"""The kernel structures that ebpftop's programs read, as `-D` flags for their compilation.

From BTF where the kernel has it; else from the headers of this very kernel, if they are installed
(ebpftop.kernel.own_headers).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel import btf, cache
from ebpftop.kernel.btf import Btf, BtfError
from ebpftop.kernel.headers import kernel_arch
from ebpftop.source import SourceError

Defines = Mapping[str, int | str]


class Wanted(NamedTuple):
    """A field of a kernel structure: an offset, or at least its name, that a program needs."""

    name: str
    struct: str
    paths: tuple[str, ...]  # the first that this kernel has; names change between versions
    optional: bool = False


_WANTED = (
    Wanted("TASK_TGID", "task_struct", ("tgid",)),
    Wanted("TASK_PID", "task_struct", ("pid",)),
    Wanted("TASK_GROUP_LEADER", "task_struct", ("group_leader",)),
    Wanted("TASK_REAL_PARENT", "task_struct", ("real_parent",)),
    Wanted("TASK_START_BOOTTIME", "task_struct", ("start_boottime", "real_start_time")),
    Wanted("TASK_THREAD_PID", "task_struct", ("thread_pid",)),
    Wanted("TASK_CRED", "task_struct", ("cred",)),
    Wanted("TASK_LOGINUID", "task_struct", ("loginuid",), optional=True),
    Wanted("TASK_COMM", "task_struct", ("comm",)),
    Wanted("TASK_MM", "task_struct", ("mm",)),
    Wanted("TASK_SIGNAL", "task_struct", ("signal",)),
    Wanted("TASK_EXIT_CODE", "task_struct", ("exit_code",)),
    Wanted("TASK_CGROUPS", "task_struct", ("cgroups",)),
    # Only x86 tells a 32-bit call by this; elsewhere `status` is absent.
    Wanted("TASK_STATUS", "task_struct", ("thread_info.status",), optional=True),
    # There, these do.
    Wanted("TASK_FLAGS", "task_struct", ("thread_info.flags",), optional=True),
    Wanted("PID_LEVEL", "pid", ("level",)),
    Wanted("PID_NUMBERS", "pid", ("numbers",)),
    Wanted("UPID_NR", "upid", ("nr",)),
    Wanted("UPID_NS", "upid", ("ns",)),
    Wanted("PIDNS_INUM", "pid_namespace", ("ns.inum",)),
    Wanted("CRED_UID", "cred", ("uid",)),
    Wanted("CRED_EUID", "cred", ("euid",)),
    Wanted("CRED_USER_NS", "cred", ("user_ns",)),
    Wanted("USERNS_PARENT", "user_namespace", ("parent",)),
    Wanted("USERNS_INUM", "user_namespace", ("ns.inum",)),
    Wanted("USERNS_UID_MAP", "user_namespace", ("uid_map",)),
    # Without these, users of containers are counted all the same, but not told by their names in there.
    Wanted("UIDMAP_EXTENTS", "uid_gid_map", ("extent",), optional=True),
    Wanted("UIDMAP_COUNT", "uid_gid_map", ("nr_extents",), optional=True),
    Wanted("SIGNAL_LIVE", "signal_struct", ("live",)),
    Wanted("SIGNAL_FLAGS", "signal_struct", ("flags",)),
    Wanted("SIGNAL_EXIT_CODE", "signal_struct", ("group_exit_code",)),
    Wanted("BINPRM_FILENAME", "linux_binprm", ("filename",)),
    Wanted("BINPRM_INTERP", "linux_binprm", ("interp",)),
    Wanted("MM_ARG_START", "mm_struct", ("arg_start",)),
    Wanted("MM_ARG_END", "mm_struct", ("arg_end",)),
    Wanted("CSS_SET_DFL_CGRP", "css_set", ("dfl_cgrp",)),
    Wanted("CSS_SET_SUBSYS", "css_set", ("subsys",)),
    Wanted("CSS_CGROUP", "cgroup_subsys_state", ("cgroup",)),
    Wanted("CGROUP_KN", "cgroup", ("kn",)),
    Wanted("CGROUP_LEVEL", "cgroup", ("level",)),
    # Before 6.1; later kernels have the helper that this stands in for.
    Wanted("CGROUP_ANCESTOR_IDS", "cgroup", ("ancestor_ids",), optional=True),
    # From 6.1 on; asked only for cgroup v1, which no helper tells of.
    Wanted("CGROUP_ANCESTORS", "cgroup", ("ancestors",), optional=True),
    Wanted("KERNFS_ID", "kernfs_node", ("id",), optional=True),
    # Without these, a cgroup that is made again is found by its path, a moment later.
    Wanted("CGROUP_ROOT", "cgroup", ("root",), optional=True),
    Wanted("CGROUP_ROOT_HIERARCHY_ID", "cgroup_root", ("hierarchy_id",), optional=True),
    Wanted("CGROUP_ROOT_SUBSYS_MASK", "cgroup_root", ("subsys_mask",), optional=True),
    Wanted("KERNFS_PARENT", "kernfs_node", ("__parent", "parent")),
    Wanted("KERNFS_NAME", "kernfs_node", ("name",)),
)

# The user's registers at a system call, in the order of its arguments: arch/x86/entry/calling.h,
# arch/arm64/kernel/syscall.c.
_REGS = {
    "x86": ("orig_ax", ("di", "si", "dx", "r10", "r8", "r9"), ("bx", "cx", "dx", "si", "di", "bp")),
    "arm64": ("syscallno", ("orig_x0", "regs+8", "regs+16", "regs+24", "regs+32", "regs+40"), None),
}


EXEC_CALLS = ("execve", "execveat")
# What stands before "sys_execve" for callers of other ABIs: arch/x86/include/asm/syscall_wrapper.h (x32's changed with
# Linux 5.13), arch/arm64/include/asm/syscall_wrapper.h.
_OTHER_PREFIXES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "x86": {"COMPAT": ("__ia32_compat_",), "X32": ("__x64_compat_", "__x32_compat_")},
    "arm64": {"COMPAT": ("__arm64_compat_",)},
}


def wanted_fields() -> tuple[Wanted, ...]:
    """Return every field that ebpftop's programs read."""
    return (*_WANTED, *_registers())


def _registers() -> list[Wanted]:
    try:
        number, arguments, compat = _REGS[kernel_arch()]
    except KeyError:
        raise SourceError(f"{platform.machine()} is not supported", "ebpftop runs on x86_64 and aarch64") from None
    wanted = [Wanted("REGS_NR", "pt_regs", (number,))]
    for prefix, names in (("REGS_ARG", arguments), ("REGS_COMPAT_ARG", compat or arguments)):
        wanted += [Wanted(f"{prefix}{i}", "pt_regs", (name,)) for i, name in enumerate(names, 1)]
    return wanted


def from_btf(types: Btf) -> Defines:
    """Return the flags that describe the kernel of *types*; raises BtfError where a structure is not what we know."""
    defines: dict[str, int | str] = {}
    for wanted in wanted_fields():
        for path in wanted.paths:
            member, _, plus = path.partition("+")
            if types.has(wanted.struct, member):
                defines[f"OFF_{wanted.name}"] = types.offset(wanted.struct, member) + int(plus or 0)
                break
        else:
            if not wanted.optional:
                raise BtfError(f"struct {wanted.struct} of this kernel has no {' or '.join(wanted.paths)}")
    defines["SIZE_UPID"] = 16
    pids_id = types.enum("cgroup_subsys_id", "pids_cgrp_id")
    if pids_id is not None:
        defines["CSS_PIDS_ID"] = pids_id
    execve_id = types.function_id(f"{syscall_prefix()}sys_execve")
    if execve_id is not None:
        defines["EXECVE_ID"] = execve_id
    defines |= _other_exec_functions(lambda name: types.function_id(name) is not None)
    if types.has_tracepoint("sched_prepare_exec"):  # Linux 6.10
        defines["HAVE_PREPARE_EXEC"] = 1
    return defines


def _other_exec_functions(exists: Callable[[str], bool]) -> Defines:
    """Return by what functions this kernel answers execve and execveat of its other ABIs, those that it has."""
    return {
        f"SYS_{abi}_{call.upper()}": f"{prefix}sys_{call}"
        for abi, prefixes in _OTHER_PREFIXES.get(kernel_arch(), {}).items()
        for prefix in prefixes
        if all(exists(f"{prefix}sys_{call}") for call in EXEC_CALLS)
        for call in EXEC_CALLS
    }


def _named_by_kallsyms() -> Defines:
    """Return the same where there is no BTF to ask."""
    with suppress(OSError):
        symbols = frozenset(line.split()[2] for line in Path("/proc/kallsyms").read_bytes().splitlines())
        return _other_exec_functions(lambda name: name.encode() in symbols)
    return {}


def _from_blob(blob: bytes) -> Defines:
    """Return the flags, as they were kept if it is the same blob that said them; raises BtfError."""
    entry = cache.key(blob, Path(__file__).read_bytes(), Path(btf.__file__).read_bytes(), kernel_arch().encode())
    defines: Defines | None = cache.find(entry, dict[str, int | str])
    if defines is None or not _is_whole(defines):
        defines = from_btf(Btf(blob))
        cache.keep(entry, defines)
    return defines


def _is_whole(defines: Defines) -> bool:
    """Tell whether *defines* has every field that each kernel has, and offsets that can be ones."""
    required = {f"OFF_{wanted.name}" for wanted in wanted_fields() if not wanted.optional} | {"SIZE_UPID"}
    values = [value for name, value in defines.items() if name.startswith("OFF_")]
    return required <= defines.keys() and all(isinstance(value, int) and 0 <= value < 1 << 16 for value in values)


def syscall_prefix() -> str:
    """Return what stands before "sys_execve" in the function's name: arch/*/include/asm/syscall_wrapper.h."""
    return {"x86": "__x64_", "arm64": "__arm64_"}.get(kernel_arch(), "")


def own_headers() -> Path | None:
    """Return where the headers of the running kernel, and of no other, are installed."""
    modules = Path("/lib/modules", os.uname().release)
    # Debian splits them: what configuration generates is in `build`, the rest in `source`.
    complete = any((modules / name / "include/linux/kconfig.h").exists() for name in ("build", "source"))
    return modules / "build" if complete and (modules / "build/include/generated").is_dir() else None


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
        return _from_blob(btf.of_running_kernel())
    except BtfError as error:
        if own_headers() is None:
            raise SourceError(
                f"this kernel has no usable BTF ({error}) and no headers of its own are installed", headers_package()
            ) from error
    from ebpftop.kernel.own_headers import from_headers  # only here, for it needs bcc

    try:
        return {**from_headers(), **_named_by_kallsyms()}
    except BtfError as error:
        raise SourceError(
            f"this kernel has no BTF, and its headers do not help: {error}",
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions build theirs, needs no headers",
        ) from error
