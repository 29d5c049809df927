"""What is loaded of a pane: in the sheet of its probe, and of its programs in the list of all programs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ebpftop.core.own_programs import OwnFile, OwnMap, OwnProgram
from ebpftop.core.records import ProbeName, Record, TimedRecord
from ebpftop.sources.replay import ReplaySource
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.own_programs import OwnReader, add_file
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.widgets.sheet import Sheet
from tests.unit.recording_samples import write

from .conftest import until
from .program_scene import reading
from .scene import START, FakeSource, batch, minute
from .test_screen_keys import running

PROGRAM = OwnProgram(
    name="users_[b]prepare",
    type="raw_tracepoint",
    place="raw_tracepoint:sys_enter",
    id=6,
    tag="a1b2c3d4e5f60718",
    runs=1000,
    run_ns=250_000,
    misses=2,
    jited_bytes=4096,
    verifier=("verification time 8 usec", "processed 2574 insns (limit 1000000)"),
    code=("    0  r6 = r1", "    1  exit"),
)
USERS = OwnMap(
    name="users",
    type="hash",
    id=9,
    key_bytes=4,
    value_bytes=16,
    entries_max=10240,
    entries=(("1000", "7 2"),),
    more=True,
)
FILE = OwnFile(
    time=START,
    probe="users",
    file="users.c",
    source=("/* execve attempts per user */", "        int x;"),
    programs=(PROGRAM,),
    maps=(USERS,),
)


class Loaded(FakeSource):
    """A live source that can tell what it has loaded."""

    asked = 0

    def own_file(self, probe: ProbeName) -> OwnFile | None:
        self.asked += 1
        return FILE if probe == "users" else None


def text(app: EbpftopApp) -> str:
    assert isinstance(app.screen, SheetScreen)
    return app.screen._content().plain


@pytest.mark.parametrize("size", [(80, 24), (120, 35)])
async def test_the_sheet_of_a_probe_shows_programs_maps_code_and_source(size: tuple[int, int]) -> None:
    async with running(Loaded(minute()), size) as (pilot, app):
        app.main.probes.open("users")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen) and "users_[b]prepare" in text(app))
        shown = text(app)
        for words in (
            "Programs of bpf/users.c (1)",
            "id 6 · tag a1b2c3d4e5f60718 · raw_tracepoint",
            "raw_tracepoint:sys_enter",
            "1,000, 250ns a run, 2 left out",
            "processed 2574 insns",
            "users  id 9 · hash · 4 to 16 bytes · room for 10,240",
            "1000  7 2",
            "and more",
            "1  exit",
            "execve attempts per user",
        ):
            assert words in shown


async def test_a_program_of_ours_shows_the_same_in_the_list_of_all() -> None:
    source = Loaded([*minute(), batch("programs", 60, reading(60))])
    async with running(source, (120, 50)) as (pilot, app):
        await pilot.press("P")
        await until(pilot, lambda: any(row.row.own for row in app.screen.table.rows()))  # type: ignore[attr-defined]
        own = next(row for row in app.screen.table.rows() if row.row.own)  # type: ignore[attr-defined]
        details = app.screen.details_of(own)  # type: ignore[attr-defined]
        await until(pilot, lambda: details.sheet() and source.asked)
        assert own.row.name in details.sheet().content().plain


@pytest.mark.parametrize("place", ["", "raw_tracepoint:sys_enter, slot 3"])
def test_runs_of_what_is_tail_called_are_not_counted(place: str) -> None:
    called = msgspec.structs.replace(PROGRAM, place=place, runs=0, run_ns=0)
    sheet = Sheet()
    add_file(sheet, OwnReader(None, "users", lambda: msgspec.structs.replace(FILE, programs=(called,))))
    assert "runs           not counted: another program tail-calls it" in sheet.content().plain


def test_a_recording_without_them_says_how_they_are_recorded() -> None:
    sheet = Sheet()
    add_file(sheet, OwnReader(None, "users"))
    assert "stream and record --own-programs do" in sheet.content().plain


async def test_a_recording_with_them_shows_those_of_the_moment(tmp_path: Path) -> None:
    later = msgspec.structs.replace(
        FILE, time=START + 50, programs=(msgspec.structs.replace(PROGRAM, runs=2000, run_ns=600_000),)
    )
    records: list[TimedRecord] = [
        record for one in minute() for record in one.records if isinstance(record, TimedRecord)
    ]
    in_order: list[Record] = [*sorted([*records, FILE, later], key=lambda record: record.time)]
    path = write(tmp_path / "own.jsonl", in_order)
    app = EbpftopApp(ReplaySource(str(path), 0.0))
    async with app.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "users" in app.main.playback.overview.own)
        await pilot.press("space")
        app.main.playback.seek(START + 20)
        await until(pilot, lambda: app.main.playback.overview.own.get("users") == FILE)
        app.main.probes.open("users")
        await until(pilot, lambda: "1,000, 250ns a run" in text(app))
        for words in ("as they were at", "processed 2574 insns", "1000  7 2", "1  exit", "execve attempts per user"):
            assert words in text(app)
        await pilot.press("escape")
        app.main.playback.seek(START + 58)
        await until(pilot, lambda: app.main.playback.overview.own["users"] == later)
        app.main.probes.open("users")
        await until(pilot, lambda: "2,000, 300ns a run" in text(app))
