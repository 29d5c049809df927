"""A probe in a distribution package of its own: found by its entry point, and when it is broken, disabled alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import Foreign
from ebpftop.filters.spec import Filter
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.subset import Subset
from ebpftop.probes.registry import registry
from ebpftop.recording.parse import read_lines
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.registry import panes
from tests.kernel.support import Line, needs_root, of

pytestmark = [needs_root, pytest.mark.timeout(300)]

PACKAGE = Path(__file__).parents[1] / "plugin"

# A recording on the screen: what the pane of signals shows, empty if there is no such pane.
SHOWN = """
import asyncio, sys
from ebpftop.ui.app import EbpftopApp
from ebpftop.sources.replay import ReplaySource

async def main():
    source = ReplaySource(sys.argv[1], 0.0)
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 120)) as pilot:
        while not source.finished:
            await pilot.pause(0.05)
        await pilot.pause(1.0)
        for pane in app.main.panes:
            if pane.probe == "signals" and pane.display:
                region = pane.region
                strips = app.screen._compositor.render_strips()[region.y : region.bottom]
                print("\\n".join(strip.crop(region.x, region.right).text for strip in strips))
    source.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package as anybody would, and return where it is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    folder.chmod(0o755)
    source = shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=source, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def with_packages(*folders: Path) -> Mapping[str, str]:
    """Return an environment in which these folders have distribution packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def ebpftop(*arguments: str | Path, packages: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ebpftop", *arguments]
    return subprocess.run(
        command, check=False, env=with_packages(*packages), capture_output=True, text=True, timeout=240
    )


def checked(*packages: Path) -> dict[str, Any]:
    done = ebpftop("check", "--json", packages=packages)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def recording(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of signals and programs, made with the package."""
    file = tmp_path_factory.mktemp("recording") / "signals.jsonl"
    ours = str(os.getpid())  # other programs' signals would push these out of the pane
    command = [sys.executable, "-m", "ebpftop", "record", str(file), "--probes", "execs,signals", "--pid", ours]
    with subprocess.Popen(command, env=with_packages(installed), stderr=subprocess.PIPE, text=True) as recorder:
        while not file.exists() or b'"probe":"signals","state":"on"' not in file.read_bytes():
            assert recorder.poll() is None, recorder.stderr.read() if recorder.stderr else ""
            subprocess.run(["sleep", "0.1"], check=True)
        for number in ("USR1", "TERM"):
            subprocess.run(["sh", "-c", f"sleep 60 & kill -s {number} $!; wait"], check=False)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(30) == 130
    return file


def lines_of(file: Path, kind: str) -> list[bytes]:
    return [line for line in file.read_bytes().splitlines() if line.startswith(b'{"kind":"%s"' % kind.encode())]


def test_check_attaches_it_and_says_where(installed: Path) -> None:
    report = checked(installed)
    states = {probe["probe"]: probe for probe in report["probes"]}
    assert list(states) == [*registry().names, "signals"]
    assert (states["signals"]["state"], states["signals"]["via"]) == ("on", "raw_tracepoint:signal_generate")
    assert report["disabled"] == []


def test_its_events_come_by_the_stream_and_obey_the_filter(installed: Path) -> None:
    command = [sys.executable, "-m", "ebpftop", "stream", "--probes", "signals", "--comm", "sends-signals"]
    sends = "printf sends-signals > /proc/self/comm; sleep 60 & kill -s USR1 $!; wait"
    with subprocess.Popen(command, env=with_packages(installed), stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        assert json.loads(stream.stdout.readline())["kind"] == "header"
        assert json.loads(stream.stdout.readline())["state"] == "on"
        with subprocess.Popen(["sleep", "60"]) as other:
            other.send_signal(signal.SIGTERM)
        with subprocess.Popen(["bash", "-c", sends]) as sender:
            sender.wait()
        stream.send_signal(signal.SIGINT)
        lines: list[Line] = [json.loads(line) for line in stream.stdout]
    assert {line["comm"] for line in of("signal", lines)} == {"sends-signals"}
    (sent,) = of("signal", lines, signal="SIGUSR1")
    assert sent["pid"] == sender.pid


def test_without_the_package_its_name_is_unknown() -> None:
    done = ebpftop("stream", "--probes", "signals")
    assert done.returncode == 2
    assert "'signals' is not a probe" in done.stderr


def test_its_pane_shows_a_recording(installed: Path, recording: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SHOWN, recording],
        env=with_packages(installed), check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    assert "6 Signals ●" in shown
    for number in ("SIGUSR1", "SIGTERM"):
        assert any(number in line and " sh " in line for line in shown.splitlines()), shown


def test_without_the_package_its_records_pass_through_untouched(recording: Path, tmp_path: Path) -> None:
    theirs = lines_of(recording, "signal")
    assert len(theirs) >= 2
    source = ReplaySource(str(recording), 0.0)
    try:
        for probe in source.probes:
            while source.poll(probe, 0.05) is not None or not source.finished:
                pass
        assert source.timeline.save(str(tmp_path / "whole.jsonl")) > 0
        wanted = ViewFilter(Filter(comms=("no such program",)))
        narrow = Subset(wanted, None, source.timeline.records())
        source.timeline.save(str(tmp_path / "narrow.jsonl"), narrow)
        assert any("kinds that this version does not know" in line for line in source.damage.report())
    finally:
        source.close()
    assert lines_of(tmp_path / "whole.jsonl", "signal") == theirs
    assert lines_of(tmp_path / "narrow.jsonl", "signal") == theirs
    assert lines_of(recording, "exec")
    assert not lines_of(tmp_path / "narrow.jsonl", "exec")
    states = [line for line in lines_of(recording, "probe") if b'"probe":"signals"' in line]
    assert [line for line in lines_of(tmp_path / "whole.jsonl", "probe") if b'"probe":"signals"' in line] == states


def test_with_the_package_the_copy_is_decoded(installed: Path, recording: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ebpftop.recording.parse import read_lines\n"
        "for record in read_lines(Path(sys.argv[1]).read_bytes()):\n"
        "    if type(record).__name__ == 'Signal': print(record.comm, record.signal, record.target)\n"
    )
    command = [sys.executable, "-c", code, str(recording)]
    shown = subprocess.run(command, env=with_packages(installed), check=True, capture_output=True, text=True).stdout
    decoded = [tuple(line.split()[:2]) for line in shown.splitlines()]
    assert ("sh", "SIGUSR1") in decoded
    assert len(decoded) == len(lines_of(recording, "signal"))
    here = list(read_lines(recording.read_bytes()))
    assert sum(isinstance(record, Foreign) for record in here) == len(decoded)
    assert any(isinstance(record, Exec) for record in here)


# ---- Broken ones ----

_ROW = """
from ebpftop.probes.registry import ProbeRow
PROBE = ProbeRow(name={name!r}, about="", probe={probe!r}, records={records!r})
"""
_CLASSES = """
from ebpftop.core.records import End, Event
from ebpftop.probes.base import KernelProbe

class Thing(Event, frozen=True, kw_only=True, tag="thing"):
    pid: int

class Named(Event, frozen=True, kw_only=True, tag="named"):
    name: str

class Twin(Event, frozen=True, kw_only=True, tag="exec"):
    pid: int

class Raises(KernelProbe):
    file = "trace.c"
    def __init__(self, context):
        raise RuntimeError("no such luck")
    def attach(self, module):
        return "nothing"

class Stops(KernelProbe):
    file = "filter.c"
    def attach(self, module):
        return "nothing"
    def read_events(self, now, *, everything=False):
        raise ZeroDivisionError("in the middle")

class Attaches(KernelProbe):
    file = "filter.c"
    def attach(self, module):
        return "nothing"

class Mistyped(Attaches):
    def read_counters(self, now):
        return [Thing(time=now, pid="1")]

class Theirs(Attaches):
    def read_events(self, now, *, everything=False):
        return [End(time=now, records=0, reason="")]

class Unsafe(Attaches):
    def read_counters(self, now):
        return [Named(time=now, name="\\x1b[31m")]

class Leaves(Attaches):
    def read_counters(self, now):
        return []
    def save_totals(self, module):
        raise ZeroDivisionError("at its end")
    def release(self):
        raise ZeroDivisionError("at its end")
"""


def write_package(site: Path, name: str, code: str, group: str = "ebpftop.probes") -> None:
    """Put a package with one module and one entry point into *site*, as an installer leaves it."""
    (site / f"{name}.py").write_text(code)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}:PROBE\n")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("broken")
    site.chmod(0o755)
    (site / "classes.py").write_text(_CLASSES)
    rows: dict[str, tuple[str, str, tuple[str, ...]]] = {
        "taken": ("execs", "classes:Raises", ()),
        "badly": ("Not-A-Name", "classes:Raises", ()),
        "twice": ("twice", "classes:Raises", ("classes:Twin",)),
        "nokind": ("nokind", "classes:Raises", ("classes:Raises",)),
        "lost": ("lost", "classes:Raises", ("classes:Nothing",)),
        "raises": ("raises", "classes:Raises", ()),
        "nowhere": ("nowhere", "nowhere_at_all:Probe", ()),
        "untyped": ("untyped", "classes:Thing", ()),
        "stops": ("stops", "classes:Stops", ()),
        "mistyped": ("mistyped", "classes:Mistyped", ("classes:Thing",)),
        "theirs": ("theirs", "classes:Theirs", ()),
        "unsafe": ("unsafe", "classes:Unsafe", ("classes:Named",)),
        "ends": ("ends", "classes:Leaves", ()),
    }
    for name, (row, probe, records) in rows.items():
        write_package(site, name, _ROW.format(name=row, probe=probe, records=records))
    write_package(site, "unimportable", "import no_such_module")
    write_package(site, "leaves", "raise SystemExit(3)")
    write_package(site, "wrongtype", "PROBE = 'a probe'")
    write_package(site, "nopane", "PROBE = 'a pane'", "ebpftop.panes")
    return site


def test_a_broken_one_is_disabled_with_the_reason_and_nothing_else_is(broken: Path) -> None:
    report = checked(broken)
    disabled = {one["name"]: one["reason"] for one in report["disabled"]}
    assert disabled == {
        "taken": "there is a probe execs already",
        "badly": "'Not-A-Name' is not a name of 1 to 16 small letters",
        "twice": "there are records of the kind exec already",
        "nokind": "classes:Raises is not derived from Event or Reading",
        "lost": "AttributeError: module 'classes' has no attribute 'Nothing'",
        "unimportable": "ModuleNotFoundError: No module named 'no_such_module'",
        "leaves": "SystemExit: 3",
        "wrongtype": "wrongtype:PROBE is not a ProbeRow",
    }
    states = {probe["probe"]: probe for probe in report["probes"]}
    assert {name: states[name]["state"] for name in registry().names} == dict.fromkeys(registry().names, "on")
    failed = {name: state["reason"] for name, state in states.items() if state["state"] == "failed"}
    assert failed == {
        "raises": "RuntimeError: no such luck",
        "nowhere": "ModuleNotFoundError: No module named 'nowhere_at_all'",
        "untyped": "TypeError: classes:Thing is not a KernelProbe",
        "stops": "ZeroDivisionError: in the middle",
        "mistyped": "ValueError: Expected `int`, got `str` - at `$.pid`",
        "theirs": "TypeError: End is not a record of the probe theirs",
    }


def test_one_that_breaks_while_it_is_read_ends_alone(broken: Path) -> None:
    done = ebpftop("stream", "--probes", "execs,stops", "--duration", "1", packages=(broken,))
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    states = [(line["probe"], line["state"], line["reason"]) for line in of("probe", lines)]
    assert ("execs", "on", None) in states
    assert states[-1] == ("stops", "failed", "ZeroDivisionError: in the middle")
    assert "wrongtype of the package wrongtype is disabled: wrongtype:PROBE is not a ProbeRow" in done.stderr


def test_one_that_breaks_at_its_end_does_not_keep_the_others_from_ending(broken: Path) -> None:
    done = ebpftop("stream", "--probes", "ends,execs,unsafe", "--duration", "1", packages=(broken,))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["probe"] for line in of("probe", lines, state="on")} == {"ends", "execs", "unsafe"}
    assert {line["name"] for line in of("named", lines)} == {"\\x1b[31m"}


@pytest.mark.parametrize("name", ["ends", "mistyped", "execs"])
def test_one_that_breaks_is_unloaded_when_it_is_turned_off(broken: Path, name: str) -> None:
    code = (
        "import sys; from ebpftop.sources.live import KernelSource; from ebpftop.sources.live_options import Options\n"
        "source = KernelSource(Options(probes=('execs', sys.argv[1])))\n"
        "source.toggle(sys.argv[1])\n"
        "print(source.is_on(sys.argv[1]), [record.state for batch in source.read_all() for record in batch.records\n"
        "    if getattr(record, 'probe', '') == sys.argv[1] and hasattr(record, 'state')][-1])\n"
        "source.close()\n"
    )
    command = [sys.executable, "-c", code, name]
    shown = subprocess.run(command, env=with_packages(broken), check=True, capture_output=True, text=True).stdout
    assert shown.split() == ["False", "off" if name == "execs" else "failed"]


def test_a_name_that_is_disabled_is_explained(broken: Path) -> None:
    done = ebpftop("stream", "--probes", "wrongtype", packages=(broken,))
    assert done.returncode == 2
    assert "wrongtype:PROBE is not a ProbeRow" in done.stderr


def test_a_broken_pane_is_left_out_with_the_reason(broken: Path) -> None:
    code = (
        "from ebpftop.ui.registry import panes\n"
        "print(list(panes().rows))\n"
        "print([f'{one.name}: {one.reason}' for one in panes().disabled])\n"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, env=with_packages(broken), check=True, capture_output=True, text=True).stdout
    assert shown.splitlines() == [str([*panes().rows]), "['nopane: nopane:PROBE is not a PaneRow']"]
