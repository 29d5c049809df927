"""Maps of the workbench by their type: which keys do what, and which member of a structure counts."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.content import Content

from ebpftop.core.load_records import Field, LoadedMap, MapReading, MapRow
from ebpftop.core.source import Batch
from ebpftop.models.load_languages import entries_language
from ebpftop.models.load_maps import MapTable
from ebpftop.models.load_writes import Write, can, nothing_yet, why_not
from ebpftop.ui.widgets.notice_line import NoticeLine

from . import load_scene as scene
from .conftest import Look, until
from .scene import START, Remembered, batch, minute, probe_state
from .test_screen_keys import running
from .test_workbench import screen, seen, shown, typing, working
from .test_workbench_edits import Editable

STATS = Field(
    type="struct stats_t",
    kind="struct",
    size=32,
    fields=(
        replace(scene.U64, name="count"),
        replace(scene.U64, name="bytes", meaning="bytes"),
        replace(scene.U64, name="errors"),
        replace(scene.U64, name="last_state"),
    ),
)


def map_of(type: str, *, writable: bool = True, room: int = 8, name: str = "") -> LoadedMap:
    return LoadedMap(
        name=name or type,
        type=type,
        id=80,
        key=scene.U32,
        value=scene.U64,
        max_entries=room,
        per_cpu="percpu" in type,
        writable=writable,
    )


def table_of(info: LoadedMap, entries: int = 0) -> MapTable:
    table = MapTable(info)
    rows = tuple(MapRow(id=f"{at:02x}000000", key=at, value=0) for at in range(entries))
    table.read(MapReading(time=START, map=info.name, type=info.type, rows=rows, entries=entries))
    return table


WRITES: tuple[Write, ...] = ("set", "add", "remove")


@pytest.mark.parametrize(
    ("table", "allowed"),
    [
        (table_of(map_of("hash")), WRITES),
        (table_of(map_of("lru_percpu_hash")), WRITES),
        (table_of(map_of("lpm_trie")), WRITES),
        (table_of(map_of("array"), 8), ("set",)),
        (table_of(map_of("percpu_array"), 8), ("set",)),
        (table_of(map_of("array", room=512), 3), ("set", "add")),  # of a large one, what is 0 is not listed
        (table_of(map_of("prog_array")), WRITES),
        (table_of(map_of("stack_trace", writable=False)), ()),
        (table_of(map_of("queue", writable=False)), ()),
        (table_of(map_of("hash_of_maps", writable=False)), ()),
    ],
    ids=lambda one: one.name if isinstance(one, MapTable) else "",
)
def test_each_type_of_map_can_do_what_the_kernel_lets_it_do(table: MapTable, allowed: tuple[str, ...]) -> None:
    assert tuple(one for one in WRITES if not why_not(table, one)) == allowed
    for one in set(WRITES) - set(allowed):
        assert table.name in why_not(table, one)
    said = can(table)
    assert bool(said) is ("set" in allowed)
    assert (" A " in said) is ("add" in allowed)
    assert ("Del" in said) is ("remove" in allowed)
    assert ("A " in nothing_yet(table)) is (table.info.writable)


def arrays() -> list[Batch]:
    """An array, an array of programs and a map of stacks."""
    infos = (
        map_of("array", name="conf"),
        map_of("prog_array", name="tails"),
        map_of("stack_trace", name="stacks", writable=False),
    )
    rows = {
        "conf": tuple(MapRow(id=f"{at:02x}000000", key=at, value=at * 3) for at in range(8)),
        "tails": (MapRow(id="01000000", key=1, value="hello"),),
        "stacks": (MapRow(id="07000000", key=7, value=[1, 2]),),
    }
    loaded = replace(scene.LOADED, maps=infos)
    readings = [
        MapReading(time=START + 3, map=one.name, type=one.type, rows=rows[one.name], entries=len(rows[one.name]))
        for one in infos
    ]
    return [batch("load", 2, probe_state("load", "on"), loaded), batch("load", 3, *readings)]


async def test_the_footer_offers_of_a_map_what_it_can_do_and_a_line_says_why_not_the_rest() -> None:
    source = Editable(arrays())
    async with working(source, (140, 35)) as (pilot, app):
        await pilot.press("tab", "tab", "j")
        assert "Enter sets a value" in shown(app)
        assert " A Add" not in shown(app)
        assert "⏎ Set" in shown(app).splitlines()[-1]
        await pilot.press("shift+tab")
        assert "⏎ Details" in shown(app).splitlines()[-1]
        await pilot.press("tab", "j")
        await pilot.press("A")
        assert "conf is an array, which has all its keys, 0 to 7" in shown(app)
        assert not screen(app).editor.is_open
        await pilot.press("delete")
        assert "conf is an array, which keeps all its keys" in shown(app)
        await pilot.press("v")
        await seen(pilot, "A Fill another")
        assert "⏎ Fill slot" in shown(app)
        assert "Del empties it" in shown(app) or "keeps all its keys" in shown(app)
        await pilot.press("j", "delete")
        await pilot.press("v", "j")
        assert not {"A Fill", "⏎ Set", "Del"} & {*shown(app).splitlines()[-1].split("  ")}
        for key in ("A", "delete", "enter"):
            await pilot.press(key)
            assert "stacks cannot be written from here" in shown(app)
        assert source.asked == [("slot", "tails", "1", None)]


# Structures.


def stats(*readings: dict[str, int]) -> list[Batch]:
    """A map whose value is a structure, read once a second."""
    info = LoadedMap(name="stats", type="hash", id=81, key=scene.UID, value=STATS, max_entries=64, writable=True)
    loaded = replace(scene.LOADED, maps=(info,))

    def reading(at: int, value: dict[str, Any]) -> MapReading:
        other = {"count": 1, "bytes": 9, "errors": 0, "last_state": 1}
        rows = (
            MapRow(id="00", key=0, value=value, names={"key": "root"}),
            MapRow(id="e8", key=1000, value=other, names={"key": "ann"}),
        )
        return MapReading(time=START + at, map="stats", type="hash", rows=rows, entries=2)

    return [
        batch("load", 2, probe_state("load", "on"), loaded),
        *(batch("load", at, reading(at, value)) for at, value in enumerate(readings, 3)),
    ]


READINGS = (
    {"count": 10, "bytes": 1000, "errors": 5, "last_state": 3},
    {"count": 14, "bytes": 3000, "errors": 5, "last_state": 4},
    {"count": 20, "bytes": 9192, "errors": 6, "last_state": 9},
)


def test_a_structure_has_a_rate_for_each_member_that_counts() -> None:
    table = MapTable(LoadedMap(name="stats", type="hash", id=81, key=scene.UID, value=STATS, max_entries=64))
    for one in stats(*READINGS)[1:]:
        for record in one.records:
            assert isinstance(record, MapReading)
            table.read(record)
    assert [leaf.name for leaf in table.counters] == ["count", "bytes", "errors"]
    root = table.entries["00"]
    assert [gain.rate for gain in root.gains] == [6.0, 6192.0, 1.0]
    assert [(one.total, one.rate) for one in table.sums] == [(21, 6.0), (9201, 6192.0), (6, 1.0)]
    language = entries_language(table)
    for text, matches in (("bytes_rate:>6000", True), ("count_rate:>6", False)):
        query = language.parse(text)
        assert query is not None
        assert query.matches(root, 0) is matches


async def test_what_the_rows_are_sorted_by_is_what_total_rate_and_trend_are_of() -> None:
    source = Editable(stats(*READINGS))
    async with working(source, (120, 35)) as (pilot, app):
        await pilot.press("tab", "tab", "m")
        await seen(pilot, "total count 21 · count 6.0/s")
        await seen(pilot, "< > sorts by another")
        assert "count/s log≤6.0/s" in shown(app)
        for rate in ("bytes/s", "errors/s"):
            assert rate in shown(app)
        assert "last_state/s" not in shown(app)
        maps = screen(app).maps
        await pilot.press("greater_than_sign", "greater_than_sign")
        assert maps.sort_key == "value.bytes"
        assert "total bytes 8.98 KiB · bytes 6.2k/s" in shown(app) or "total bytes 9.20 kB · bytes 6.2k/s" in shown(app)
        assert "bytes/s log≤6.2k/s" in shown(app)
        await pilot.press("less_than_sign", "less_than_sign", "less_than_sign")
        assert maps.sort_key == "key"
        assert "count" in shown(app)


def test_a_structure(looks_the_same: Look) -> None:
    keys = typing("tab", "tab", "greater_than_sign")
    assert looks_the_same(Editable(stats(*READINGS)), (120, 35), before=keys)


async def test_a_filter_takes_what_is_shown() -> None:
    async with working(Editable(stats(*READINGS)), (120, 35)) as (pilot, app):
        await pilot.press("tab", "tab")
        for text in ("key:ann", "key:1000", 'key:"1000 ann"'):
            await pilot.press("slash", "ctrl+u", *text, "enter")
            await pilot.pause()
            rows = screen(app).maps.rows()
            assert [row.row.key for row in rows] == [1000], text


async def test_enter_on_a_bucket_is_answered() -> None:
    async with working(Editable(scene.tail())) as (pilot, app):
        await pilot.press("tab", "tab", "v", "j")
        for key in ("enter", "A", "delete"):
            app.clear_notifications()
            await pilot.press(key)
            await pilot.pause()
            said = "Choose an entry of a map first" if key == "delete" else "show dist=table lists its entries"
            assert said in shown(app)


# Notices.


async def test_a_notice_covers_neither_the_exercises_nor_what_is_typed() -> None:
    source = Editable(arrays())
    async with working(source, (80, 24)) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        assert screen(app).editor.is_open
        app.notify("A notice of several words which is so long that it needs more than a line of this narrow terminal")
        await pilot.pause()
        line = screen(app).query_one(NoticeLine)
        assert line.display
        assert line.region.height == 2
        assert not line.region.overlaps(screen(app).editor.region)
        assert not app.screen.query("Toast")
        assert "more than a line" in shown(app).replace("\n", " ") or "of this narrow terminal" in shown(app)
        await pilot.click(NoticeLine)
        await pilot.pause()
        assert not line.display
        assert screen(app).notes.display


async def test_a_notice_of_the_workbench_has_no_link_but_ours() -> None:
    hostile = "[@click=app.quit]Q[/]"
    async with working(Editable(arrays())) as (pilot, app):
        app.offer(f"{hostile} is off. ", "Undo", "app.help", hostile, 60.0)
        await pilot.pause()
        text = screen(app).query_one(NoticeLine).render()
        assert isinstance(text, Content)
        assert text.plain == f"{hostile} is off. Undo{hostile}"
        assert [text.plain[span.start : span.end] for span in text.spans] == ["Undo"]
        app.clear_notifications()
        app.notify(hostile)
        await until(pilot, lambda: hostile in shown(app))


async def test_a_notice_of_the_workbench_goes_by_itself() -> None:
    async with working(Editable(arrays())) as (pilot, app):
        app.notify("soon gone", timeout=0.4)
        await pilot.pause()
        assert "soon gone" in shown(app)
        await until(pilot, lambda: "soon gone" not in shown(app))


async def test_while_one_types_the_footer_offers_no_letters() -> None:
    source = Editable(arrays())
    async with working(source) as (pilot, app):
        await pilot.press("tab", "tab", "j", "enter")
        footer = shown(app).splitlines()[-1]
        assert "F1 Help" in footer
        assert "?" not in footer
        assert "q Quit" not in footer
        await pilot.press("escape", "slash")
        assert "?" not in shown(app).splitlines()[-1]


# What is said of an error, and of a moment before the program was loaded.


@pytest.mark.parametrize("size", [(80, 24), (120, 35)], ids=lambda size: "x".join(map(str, size)))
async def test_e_shows_all_that_is_said_of_the_error(size: tuple[int, int]) -> None:
    above = [f"// line {number} of many" for number in range(1, 60)]
    last = len(above) + 1
    wrong = replace(scene.REFUSED, line=last, column=1, path=tuple(range(1, last)))
    failed = replace(scene.FAILED, source=(*above, "(*n)++;", "}"), diagnostics=(wrong,))
    source = Editable([*scene.counter(49), batch("load", 50, failed)])
    async with working(source, size) as (pilot, app):
        for keys in (("g", "e"), ("tab", "tab", "e"), ("m", "tab", "e"), ("m", "tab", "e"), ("g", "shift+tab", "e")):
            await pilot.press(*keys)
            await pilot.pause()
            bench = screen(app)
            assert bench.source.line_at_cursor() == last
            for words in ("(*n)++;", "R0 invalid mem access", "MEANING", "TRY", "PATH"):
                assert words in shown(app), (keys, words)


async def test_a_moment_before_the_program_was_loaded_says_so_in_every_pane() -> None:
    source = Remembered([*minute(), *scene.counter(60)], scene.PROBES)
    async with running(source) as (pilot, app):  # type: ignore[arg-type]  # it is one
        await seen(pilot, "1000 ann")
        await pilot.press("space", "left_square_bracket")
        await seen(pilot, "The program was not loaded yet at 13:00:00")
        assert shown(app).count("was not loaded yet") == 4
        assert "l: back to live" in shown(app)
        await pilot.press("l")
        await seen(pilot, "1000 ann")


async def test_a_recording_whose_program_comes_later_does_not_ask_for_another_recording() -> None:
    source = scene.with_load([batch("load", 1, probe_state("load", "on"))], live=False)
    async with running(source, (120, 35)) as (pilot, app):
        await pilot.press("B")
        await seen(pilot, "The program was not loaded yet")
        assert "ebpftop record" not in shown(app)
