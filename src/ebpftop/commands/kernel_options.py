"""What live, stream, record and check share: from the arguments to an attached source."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from ebpftop.core.escape import printable
from ebpftop.core.source import SourceError, UsageError
from ebpftop.filters.spec import Filter, Values
from ebpftop.kernel import bpf_syscall, capabilities, compile_helper, tracefs
from ebpftop.kernel.root_helper import RootHelper
from ebpftop.kernel.root_work import RootWork
from ebpftop.lifecycle import limits, stdio
from ebpftop.probes.registry import LOAD, registry
from ebpftop.settings.values import NO_ENVIRONMENT
from ebpftop.syscalls import abi as abis
from ebpftop.syscalls.tracing import TracedCall, parse_trace

if TYPE_CHECKING:
    from ebpftop.core.syscall_records import Abi
    from ebpftop.probes.load_request import LoadRequest
    from ebpftop.sources.live import KernelSource
    from ebpftop.sources.live_options import Options

NO_PRIVILEGE = 3

# Mount point, a file that exists if the file system is mounted, and the command that mounts it.
_MOUNTS = (
    ("/proc", "/proc/self/status", "mount -t proc none /proc"),
    ("/sys", "/sys/kernel", "mount -t sysfs none /sys"),
)


def check_machine(need: limits.Need, more_mib: int = 0) -> None:
    """Raise SourceError if a file system that shows the kernel is missing, or if a limit forbids *need*.

    *more_mib* MiB of memory are needed beyond it.
    """
    for place, file, remedy in _MOUNTS:
        if not os.path.exists(file):
            raise SourceError(f"{place} is not mounted, and ebpftop reads kernel data there", remedy)
    limits.require(need, more_mib)


def report_failed(source: KernelSource) -> bool:
    """Report each probe that could not be attached; return whether at least one is attached, and the C file runs."""
    failures = source.load_failures()
    for probe in source.failed:
        if probe.probe == LOAD and failures:
            continue  # they say more, line by line
        stdio.report("; ".join(filter(None, (f"{probe.probe} is not attached: {probe.reason}", probe.remedy))))
    for line in failures:
        stdio.report(line)
    return len(source.failed) < len(source.probes) and not failures


def refused() -> bool:
    """Return whether we lack the privilege to load BPF programs; if so, print the remedy on stderr."""
    # First: in a user namespace, sudo gives no capabilities that count.
    if capabilities.in_a_user_namespace():
        stdio.report(
            "insufficient privileges to load BPF programs: root of a user namespace has none outside it; "
            "run it on the host as root"
        )
        return True
    missing = capabilities.missing()
    if missing is None:
        if not bpf_syscall.is_forbidden():
            return False
        stdio.report(
            "bpf(2) is forbidden to this process, by a seccomp profile or a security module; of a container: podman or "
            "docker run --security-opt seccomp=unconfined, Kubernetes: seccompProfile: {type: Unconfined}"
        )
        return True
    stdio.report(f"insufficient privileges to load BPF programs ({missing} missing); run it as root: sudo ebpftop")
    return True


def _calls(text: str | None) -> tuple[tuple[Abi, int], ...]:
    try:
        return abis.resolve_list(text, _abis()) if text else ()
    except abis.UnknownSyscall as error:
        raise UsageError(str(error)) from error


def _traced(text: str | None) -> tuple[TracedCall, ...]:
    try:
        return parse_trace(text, _abis()) if text else ()
    except ValueError as error:
        raise UsageError(str(error)) from error


def _abis() -> tuple[Abi, ...]:
    return abis.all_abis(platform.machine())


def _attach_options(args: argparse.Namespace, off: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the attach option of each probe, or part of one.

    Raises UsageError for a probe that is neither attached at the start nor among those that are *off* until later.
    """
    chosen = {name: event for name, event in args.attach if not _is_function(args, name)}
    for name, event in chosen.items():
        probe = name.partition(".")[0]
        if probe not in off:
            _require_probe(args, probe, f"--attach {name}={event}")
    return chosen


def _probes(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the probes to attach at the start."""
    if _file(args) is not None:
        return tuple(dict.fromkeys((LOAD, *(("trace",) if args.probes is None else args.probes))))
    if args.probes is not None and LOAD in args.probes:
        raise UsageError("--probes load: there is no C file", "--load FILE.c names it")
    return registry().on if args.probes is None else tuple(args.probes)


def _file(args: argparse.Namespace) -> str | None:
    """Return the C file to load; None for a command that loads none."""
    return getattr(args, "load", None)


def _is_function(args: argparse.Namespace, name: str) -> bool:
    """Return whether *name* of an --attach is a function of the C file; raises UsageError if there is no such file."""
    if name.partition(".")[0] in registry().names:
        return False
    if _file(args) is None:
        raise UsageError(
            f"--attach {name}=..: there is no probe {name}, and no C file", "--load FILE.c names the file of a function"
        )
    return True


def load_request(args: argparse.Namespace) -> LoadRequest | None:
    """Return what to load. Raises SourceError for a file that cannot be read, UsageError for a wrong --attach."""
    file = _file(args)
    if file is None:
        return None
    from ebpftop.kernel.load.events import EventError
    from ebpftop.kernel.load.hints import parse_all_attach
    from ebpftop.kernel.load.source import SourceRefused, read
    from ebpftop.probes.load_request import LoadRequest

    try:
        attach = parse_all_attach(f"{name}={event}" for name, event in args.attach if _is_function(args, name))
    except EventError as error:
        raise UsageError(f"--attach: {error}", "docs/workbench.md has all events") from error
    path = Path(file)
    try:
        read(path, attach)
    except SourceRefused as error:
        # What is wrong in a line is shown beside it, and may be mended while it is watched.
        if error.line is None:
            raise SourceError(error.message, error.remedy) from error
    return LoadRequest(path.absolute(), attach, args.map_memory << 20)


def _require_probe(args: argparse.Namespace, probe: str, option: str) -> None:
    if probe in _probes(args):
        return
    if args.probes is None:
        raise UsageError(
            f"{option}: {probe} is not attached unless --probes names it",
            f"use --probes {','.join((*registry().on, probe))}",
        )
    raise UsageError(f"{option}: --probes leaves {probe} out", f"add {probe} to --probes")


def _has_bcc() -> bool:
    """Return whether bcc is installed, without importing it: that would load LLVM (kernel/compile_helper.py)."""
    bcc = importlib.util.find_spec("bcc")
    folders = bcc.submodule_search_locations if bcc is not None else None
    return any(os.path.exists(os.path.join(folder, "table.py")) for folder in folders or ())


def options_of(args: argparse.Namespace, *, toggles: bool = False) -> Options:
    """Return the options in the arguments; raises SourceError. *toggles*: the user can attach other probes later."""
    if not _has_bcc():
        from ebpftop.commands.bcc_missing import Installation

        raise SourceError(
            "Python's bcc is not installed (the package of your distribution, not PyPI's)", Installation.this().remedy()
        )
    from ebpftop.sources.live_options import INTERVAL_S, PAIRS_CALM_S, PAIRS_EVERY_S, Options

    later = registry().names if args.probes is None else registry().with_screen
    if _file(args) is not None and args.probes is None:
        later = tuple(name for name in later if name != "trace")
    off = later if toggles else ()
    if args.env:
        _require_probe(args, "execs", f"--env {','.join(args.env)}")
    if args.printk:
        _require_probe(args, "syscalls", "--printk")
    if args.stacks:
        _require_probe(args, "syscalls", "--stacks")
        if not (toggles or args.trace):
            raise UsageError("--stacks: no call is traced", "say which ones: --trace openat:failed")
    return Options(
        load=load_request(args),
        probes=_probes(args),
        off=off,
        interval_s=args.interval or INTERVAL_S,
        # The screen says what is looked at; whoever chooses the interval of a stream wants all of it so often.
        pairs_every_s=PAIRS_EVERY_S if toggles or args.interval is None else 0.0,
        pairs_calm_s=PAIRS_EVERY_S if toggles else PAIRS_CALM_S if args.interval is None else 0.0,
        waits_of_all=not toggles,
        filter=chosen_filter(args),
        buffer=None if args.buffer == "auto" else args.buffer,
        attach=_attach_options(args, off),
        failures=args.failures,
        latency=args.latency,
        processes=args.latency and getattr(args, "processes", True),
        printk=args.printk,
        env=() if args.env == NO_ENVIRONMENT else tuple(args.env),
        env_names=args.env != NO_ENVIRONMENT,
        ignore=_calls(args.ignore),
        trace=_traced(args.trace),
        trace_limit=args.trace_limit,
        stacks=args.stacks,
        own_programs=getattr(args, "own_programs", False),
        btf=args.btf,
        host=host_name(args),
    )


def host_name(args: argparse.Namespace) -> str:
    """Return the name of this machine: what it is called in records."""
    return printable(getattr(args, "host_name", None) or platform.node())


def root_work(*, loads: bool = False) -> RootWork:
    """Return the helper that does root's work after we gave up root; start the one that compiles.

    *loads*: also the one that compiles what users write.

    Call it before there are threads.

    It also enters a mount namespace, which only holds for the caller and for the threads that it starts from then on.
    """
    instance = tracefs.instance_path(tracefs.mount_privately())
    if loads:
        from ebpftop.kernel.load import server as load_server  # it needs /sys, which is checked first

        load_server.start()
    if not capabilities.has(capabilities.Cap.SYS_ADMIN):
        return RootWork(instance)
    compile_helper.start()
    return RootHelper(instance)


def open_kernel(
    options: Options,
    root: RootWork,
    need: limits.Need = limits.WITHOUT_SCREEN,
    *,
    attach: bool = True,
) -> KernelSource:
    """Attach the requested probes, and give up all privileges that are no longer needed; raises SourceError.

    *need* is what the command needs in the end. If not *attach*, the caller attaches them: the privileges that are left
    are enough for that.
    """
    from ebpftop.sources.live import KernelSource

    try:
        source = KernelSource(options, root, attach=attach)
    except BaseException:
        root.close()
        compile_helper.close()
        if options.load is not None:
            from ebpftop.kernel.load import server as load_server

            load_server.close()
        raise
    for note in source.notes:
        stdio.report(note)
    try:
        capabilities.give_up_all_but_watching()
        if os.getuid() != 0:  # a limit on the threads of a user holds for every other one (setrlimit(2))
            limits.require_threads(need)
    except BaseException:
        source.close()
        raise
    return source


def chosen_filter(args: argparse.Namespace) -> Filter:
    """Return the filter in the options."""
    return Filter(
        uids=tuple(args.uid),
        pids=tuple(int(pid) for pid in args.pid),
        comms=tuple(args.comm),
        cgroups=tuple(args.cgroup),
        containers=tuple(args.container),
        excluded=Values(
            uids=tuple(args.not_uid),
            pids=tuple(int(pid) for pid in args.not_pid),
            comms=tuple(args.not_comm),
            cgroups=tuple(args.not_cgroup),
            containers=tuple(args.not_container),
        ),
        hide_self=args.hide_self,
    )
