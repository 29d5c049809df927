"""One of BCC's tools, unchanged, as a file of the workbench: does it compile, load, attach and deliver here?"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ebpftop.kernel.load.events import Event, EventError, parse
from ebpftop.kernel.load.loaded_file import LoadedFile
from ebpftop.kernel.load.loading import Loading
from ebpftop.kernel.load.server import LoadServer
from tests.bcc_tools import Attached, Program

_WORKLOAD = Path(__file__).with_name("bcc_workload.py")
_SYSCALL = re.compile(r"(?:__[a-z0-9]+_)?sys_(\w+)")
_PATTERN = re.compile(r"[\^$.*|\\]")
_FUNCTIONS_MOST = 40
# enum perf_type_id and perf_sw_ids, perf_hw_id: what the tools sample by.
_SAMPLES = {
    "1:0": "profile:hz:99",
    "1:1": "profile:hz:99",
    "0:2": "hardware:cache-references:1000",
    "0:3": "hardware:cache-misses:1000",
}
_NO_CONTENT = frozenset((3, 4, 27))  # enum bpf_map_type: program arrays, perf and ring buffers


class Outcome(NamedTuple):
    """What became of one tool."""

    name: str
    compiles: bool
    loads: bool
    """The kernel accepted each of its programs."""
    attached: tuple[str, ...]
    """Where its programs hang."""
    not_attached: tuple[str, ...]
    """Events of programs that hang nowhere."""
    events: int
    """How many came out of its buffers."""
    filled: tuple[str, ...]
    """Maps in which something stands."""
    reason: str
    """Why it does not compile or load, or why a program hangs nowhere."""

    @property
    def delivers(self) -> bool:
        """Return whether anything of it was seen."""
        return bool(self.events or self.filled)


def events_of(attached: Iterable[Attached]) -> dict[str, tuple[Event, ...]]:
    """Return where each function hangs that the tool attaches itself, as `--attach` would name it."""
    found: dict[str, list[Event]] = {}
    for one in attached:
        for text in _event_texts(one):
            with suppress(EventError):
                found.setdefault(one.function, []).append(parse(text))
    return {function: tuple(dict.fromkeys(events)) for function, events in found.items()}


def _event_texts(one: Attached) -> Iterator[str]:
    if one.kind in ("kprobe", "kretprobe"):
        if call := _SYSCALL.fullmatch(one.event):
            yield f"{'syscall' if one.kind == 'kprobe' else 'syscall_exit'}:{call[1]}"
            return
        yield from (f"{one.kind}:{name}" for name in _functions(one.event))
    elif one.kind in ("uprobe", "uretprobe"):
        library, _, symbol = one.event.rpartition(":")
        yield f"{one.kind}:{_library(library)}:{symbol}"
    elif one.kind == "perf":
        yield _SAMPLES.get(one.event, "profile:hz:99")
    else:
        yield f"{one.kind}:{one.event.strip('^$')}"


def _functions(pattern: str) -> list[str]:
    if not _PATTERN.search(pattern):
        return [pattern]
    matches = re.compile(pattern).match
    return sorted(name for name in _symbols() if matches(name) and ".cold" not in name)[:_FUNCTIONS_MOST]


@cache
def _symbols() -> frozenset[str]:
    lines = (line.split() for line in Path("/proc/kallsyms").read_text().splitlines())
    return frozenset(line[2] for line in lines if line[1] in "tTwW")


def _library(name: str) -> str:
    if name.startswith("/"):
        return name
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    name = "c" if name == "pthread" else name  # threads are in the C library since glibc 2.34
    if found := re.search(rf"lib{re.escape(name)}\.so\S* .*=> (\S+)", known):
        return found[1]
    return f"/usr/lib/lib{name}.so"


def trial(program: Program, folder: Path, server: LoadServer) -> Outcome:
    """Load one tool, let the machine do something, and return what came of it."""
    (outcome,) = trials([program], folder, server)
    return outcome


def trials(programs: Iterable[Program], folder: Path, server: LoadServer) -> list[Outcome]:
    """Load tools, let the machine do something that all of them watch, and return what came of each."""
    loaded: list[tuple[Program, LoadedFile, Loading]] = []
    try:
        for program in programs:
            file = _file(program, folder, server)
            loaded.append((program, file, file.load()))
        if any(loading.ok for _, _, loading in loaded):
            work(folder)
        return [_outcome(*one) for one in loaded]
    finally:
        for _, file, _ in loaded:
            file.close()


def _file(program: Program, folder: Path, server: LoadServer) -> LoadedFile:
    defines = "".join(f"#define {flag[2:].replace('=', ' ', 1)}\n" for flag in program.flags if flag.startswith("-D"))
    path = folder / f"{program.name.replace('/', '-')}.c"
    path.write_text(defines + program.text)
    return LoadedFile(path, attach=events_of(program.attached), load_server=server)


def _outcome(program: Program, file: LoadedFile, loading: Loading) -> Outcome:
    if not loading.ok:
        return _failed(program.name, loading)
    states = loading.programs
    return Outcome(
        program.name,
        compiles=True,
        loads=all(state.fd is not None for state in states),
        attached=tuple(via for state in states for via in state.attached),
        not_attached=tuple(event for state in states if not state.attached for event in state.events),
        events=len(file.events()),
        filled=tuple(name for name in file.maps if _has_content(file, name)),
        reason=next((state.reason for state in states if state.reason), ""),
    )


def not_run(program: Program) -> Outcome:
    """Return that a tool has not come to making its C."""
    return Outcome(program.name, False, False, (), (), 0, (), program.problem)


def _failed(name: str, loading: Loading) -> Outcome:
    states = loading.programs
    events = tuple(event for state in states for event in state.events)
    errors = [line for line in loading.output.splitlines() if "error:" in line]
    return Outcome(
        name,
        compiles=loading.stage in ("verifier", "attach"),
        loads=loading.stage == "attach",  # it comes to that if the kernel has accepted all of them
        attached=(),
        not_attached=events,
        events=0,
        filled=(),
        reason=f"{loading.stage}: {loading.error}" + (f" ({errors[0].strip()})" if errors else ""),
    )


def _has_content(file: LoadedFile, name: str) -> bool:
    opened = file.maps[name]
    if opened.is_buffer or not opened.is_readable or opened.info.type in _NO_CONTENT:
        return False
    try:
        return any(any(value) for value in opened.entries(1000).values)
    except OSError:
        return False


def work(folder: Path) -> None:
    """Do a little of everything: execute, open, read, write, remove, kill, connect, allocate, sleep."""
    subprocess.run([sys.executable, str(_WORKLOAD), str(folder)], check=False, capture_output=True, timeout=120)
