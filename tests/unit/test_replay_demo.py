"""The recording that ships with ebpftop: whole, small, telling, and of nobody in particular."""

from __future__ import annotations

import itertools
import re
from importlib.resources import as_file, files

import pytest

from ebpftop.commands.demo import RECORDING
from ebpftop.core.group_records import Cgroups, Comms
from ebpftop.core.process_records import Exec, Exit
from ebpftop.core.program_records import Programs
from ebpftop.core.record_lines import encode
from ebpftop.core.records import Lost, Probe, Record
from ebpftop.core.state_records import States
from ebpftop.core.syscall_records import Syscall, Syscalls
from ebpftop.core.trace_records import Trace
from ebpftop.core.user_records import Users
from ebpftop.probes.registry import registry
from ebpftop.recording import zstd_frames
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import drain

MOST_BYTES = 400_000
SCREENS = {"programs", "cgroups", "states"}
VARIABLES = {
    *("CGROUPS", "EBPFTOP_CONFIG", "EBPFTOP_MAKE_DEMO", "RUNNER"),  # of script/make-demo
    *("HOME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "TMPDIR", "USER", "_"),
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAVEN_CMD_LINE_ARGS", "MAVEN_PROJECTBASEDIR"),
    *("COLLECT_GCC", "COLLECT_GCC_OPTIONS", "COLLECT_LTO_WRAPPER", "COMPILER_PATH", "LIBRARY_PATH"),
    *("OFFLOAD_TARGET_DEFAULT", "OFFLOAD_TARGET_NAMES"),
}


@pytest.fixture(scope="module")
def demo() -> tuple[list[Record], ReplaySource]:
    with as_file(files("ebpftop").joinpath(RECORDING)) as path:
        source = ReplaySource(str(path), speed=0)
        records = drain(source, lambda: source.finished)
        source.close()
    return records, source


def test_it_is_whole_and_small(demo: tuple[list[Record], ReplaySource]) -> None:
    assert demo[1].damage.report() == []
    assert len(files("ebpftop").joinpath(RECORDING).read_bytes()) < MOST_BYTES


def test_every_pane_has_something_to_show(demo: tuple[list[Record], ReplaySource]) -> None:
    records, _ = demo
    assert {r.probe for r in records if isinstance(r, Probe) and r.state == "on"} == set(registry().on) | SCREENS
    execs = [record for record in records if isinstance(record, Exec)]
    assert len({record.user for record in execs}) >= 5
    assert {"ENOENT", "EACCES"} <= {record.error for record in execs}
    assert any(record.interp for record in execs)
    signals = {record.signal for record in records if isinstance(record, Exit)}
    assert {"SIGKILL", "SIGSEGV", "SIGTERM"} <= signals
    for kind in (Users, Syscalls, Syscall, Trace, Programs, Cgroups, Comms, States):
        assert any(isinstance(record, kind) for record in records)
    assert not any(isinstance(record, Lost) for record in records)


def test_something_happens_all_the_time_for_about_a_minute(demo: tuple[list[Record], ReplaySource]) -> None:
    times = sorted(record.time for record in demo[0] if isinstance(record, (Exec, Exit)))
    assert 60 <= times[-1] - times[0] <= 180
    assert max(after - before for before, after in itertools.pairwise(times)) < 5


def words_of(record: Exec) -> list[str]:
    return [word for word in (record.file, record.exe, record.cwd, *record.argv, *(record.stdio or ())) if word]


def names_of(record: Exec) -> list[str]:
    differs = record.env_differs
    more = (*differs.new, *differs.changed, *differs.gone) if differs is not None else ()
    return [*(record.env_names or ()), *more]


def test_it_tells_nothing_of_the_machine_that_it_was_made_on(demo: tuple[list[Record], ReplaySource]) -> None:
    records, source = demo
    assert source.header.host == "demo"
    assert source.header.kernel.replace(".", "").isdigit()
    users = {record.user for record in records if isinstance(record, Exec)}
    assert users == {"ann", "ben", "ci", "root", "www-data"}
    paths = {word for record in records if isinstance(record, Exec) for word in words_of(record)}
    roots = {found[1] for path in paths if (found := re.match(r"/(\w+)/", path))}
    assert roots <= {"bin", "dev", "etc", "lib64", "srv", "usr"}
    assert {name for record in records if isinstance(record, Exec) for name in names_of(record)} <= VARIABLES
    homes = set(re.findall(r"/home/([\w-]+)", b"".join(map(encode, records)).decode()))
    assert homes <= users


def test_it_is_written_as_the_writer_writes() -> None:
    assert files("ebpftop").joinpath(RECORDING).read_bytes().startswith(zstd_frames.MARK)
