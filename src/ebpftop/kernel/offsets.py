"""The kernel structures that ebpftop's programs read, as `-D` flags for their compilation.

From BTF if the kernel has it; else from the headers of exactly this kernel, if they are installed
(ebpftop.kernel.header_offsets).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from ebpftop.core.source import SourceError
from ebpftop.kernel import btf, btf_types, build_cache, fields
from ebpftop.kernel.btf import Btf
from ebpftop.kernel.errors import BtfError
from ebpftop.kernel.fields import Defines, all_fields
from ebpftop.kernel.stub_headers import kernel_arch

EXEC_CALLS = ("execve", "execveat")
_SYSTEM_CALL = "sys_"
# The stack of a task in the kernel, at the end of which are the user's registers (THREAD_SIZE). Newer kernels have a
# helper for these.
_STACK = max(16384, os.sysconf("SC_PAGE_SIZE"))
# What programs cast pointers to.
_CAST_TO = {
    "TASK_STRUCT_ID": "task_struct",
    "FILE_STRUCT_ID": "file",
    "DENTRY_STRUCT_ID": "dentry",
    "MOUNT_STRUCT_ID": "mount",
}
# What stands before "sys_execve" for callers of other ABIs: arch/x86/include/asm/syscall_wrapper.h (x32's changed with
# Linux 5.13), arch/arm64/include/asm/syscall_wrapper.h.
_OTHER_PREFIXES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "x86": {"COMPAT": ("__ia32_compat_",), "X32": ("__x64_compat_", "__x32_compat_")},
    "arm64": {"COMPAT": ("__arm64_compat_",)},
}


def from_btf(types: Btf) -> Defines:
    """Return the flags that describe the kernel of *types*; raises BtfError if a structure is not as we know it."""
    defines: dict[str, int | str] = {}
    for field in all_fields():
        for path in field.paths:
            member, _, plus = path.partition("+")
            if types.has(field.struct, member):
                defines[f"OFF_{field.name}"] = types.offset(field.struct, member) + int(plus or 0)
                break
        else:
            if not field.optional:
                raise BtfError(f"struct {field.struct} of this kernel has no {' or '.join(field.paths)}")
    defines["SIZE_UPID"] = 16
    defines |= _preempt_count(types)
    defines["STACK_TO_REGISTERS"] = _STACK - types.size("pt_regs")
    pids_id = types.enum("cgroup_subsys_id", "pids_cgrp_id")
    if pids_id is not None:
        defines["CSS_PIDS_ID"] = pids_id
    execve_id = types.function_id(f"{syscall_prefix()}sys_execve")
    if execve_id is not None:
        defines["EXECVE_ID"] = execve_id
    cast_id = types.function_id("bpf_rdonly_cast")  # Linux 6.2
    struct_ids = {name: types.struct_id(of) for name, of in _CAST_TO.items()}
    if cast_id is not None and None not in struct_ids.values():
        defines |= {"RDONLY_CAST_ID": cast_id, **{name: of for name, of in struct_ids.items() if of is not None}}
    defines |= _other_exec_functions(lambda name: types.function_id(name) is not None)
    if types.has_tracepoint("sched_prepare_exec"):  # Linux 6.10
        defines["HAVE_PREPARE_EXEC"] = 1
    return defines


def _preempt_count(types: Btf) -> Defines:
    """Return where x86 has the count that says what interrupted the current task: a variable, or a part of one."""
    counts = types.variable_id("__preempt_count")
    if counts is not None:
        return {"PREEMPT_COUNT_VARIABLE": counts, "OFF_PREEMPT_COUNT": 0}
    hot = types.variable_id("pcpu_hot")  # Linux 6.2 to 6.14
    if hot is not None and types.has("pcpu_hot", "preempt_count"):
        return {"PREEMPT_COUNT_VARIABLE": hot, "OFF_PREEMPT_COUNT": types.offset("pcpu_hot", "preempt_count")}
    return {}


def _other_exec_functions(exists: Callable[[str], bool]) -> Defines:
    """Return the functions by which this kernel answers execve and execveat of its other ABIs, if it has any."""
    return {
        f"SYS_{abi}_{call.upper()}": f"{prefix}sys_{call}"
        for abi, prefixes in _OTHER_PREFIXES.get(kernel_arch(), {}).items()
        for prefix in prefixes
        if all(exists(f"{prefix}sys_{call}") for call in EXEC_CALLS)
        for call in EXEC_CALLS
    }


def _named_by_kallsyms() -> Defines:
    """Return the same from kallsyms, if there is no BTF."""
    with suppress(OSError):
        symbols = frozenset(line.split()[2] for line in Path("/proc/kallsyms").read_bytes().splitlines())
        return _other_exec_functions(lambda name: name.encode() in symbols)
    return {}


def _from_blob(blob: bytes) -> Defines:
    """Return the flags, from the cache if the blob is the same; raises BtfError."""
    code = (__file__, fields.__file__, btf.__file__, btf_types.__file__)
    entry = build_cache.key(blob, *(Path(file).read_bytes() for file in code), kernel_arch().encode())
    defines: Defines | None = build_cache.find(entry, dict[str, int | str])
    if defines is None or not _is_whole(defines):
        defines = from_btf(Btf(blob))
        build_cache.store(entry, defines)
    return defines


@cache
def _types_name() -> str:
    """Return what identifies the running kernel's BTF, and the code that reads it; raises BtfError."""
    code = (btf.__file__, btf_types.__file__)
    return build_cache.key(btf.of_running_kernel(), *(Path(file).read_bytes() for file in code))


@cache
def function_id(name: str) -> int | None:
    """Return the BTF type id of a kernel function, for programs at its fentry and fexit; None if there is none."""
    try:
        # Those of system calls are kept together: most are never asked for, but parsing takes 0.15 s.
        part = _SYSTEM_CALL if _SYSTEM_CALL in name else name
        entry = build_cache.key(_types_name().encode(), part.encode())
        found = build_cache.find(entry, dict[str, int])
        if found is None:
            found = Btf(btf.of_running_kernel()).function_ids(part)
            build_cache.store(entry, found)
    except BtfError:
        return None
    return found.get(name)


def _is_whole(defines: Defines) -> bool:
    """Return whether *defines* has every required field, and only possible offsets."""
    required = {f"OFF_{field.name}" for field in all_fields() if not field.optional} | {"SIZE_UPID"}
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
    """Return the flags for the running kernel; if nothing describes it, SourceError, which names the package."""
    try:
        return _from_blob(btf.of_running_kernel())
    except BtfError as error:
        if own_headers() is None:
            raise SourceError(
                f"this kernel has no usable BTF ({error}) and no headers of its own are installed", headers_package()
            ) from error
    from ebpftop.kernel.header_offsets import from_headers  # only here, for it needs bcc

    try:
        return {**from_headers(), **_named_by_kallsyms()}
    except BtfError as error:
        raise SourceError(
            f"this kernel has no BTF, and its headers do not help: {error}",
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions build theirs, needs no headers",
        ) from error
