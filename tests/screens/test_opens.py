"""Pane 5, the opens: it takes room while its probe is on or it has the focus, and none otherwise."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from ebpftop.core.source import Batch
from ebpftop.models.opens import Open
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.opens import OpensPane

from .conftest import Look, pane, settle, until
from .scene import START, FakeSource, batch, execs, minute, probe_state

SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 50)], ids=lambda size: "x".join(map(str, size)))


def opened(at: float, path: str | None, *, ret: int = 3, **more: object) -> Open:
    """A file that was opened, or not, *at* seconds after the start."""
    fields: dict[str, object] = {
        **{"time": START + at, "pid": 4102, "tid": 4102, "uid": 1000, "user": "ada", "comm": "make", "call": "openat"},
        **{"dirfd": None, "path": path, "flags": "O_RDONLY|O_CLOEXEC", "ret": ret, "ns": 2100},
        "error": None if ret >= 0 else "ENOENT",
        **more,
    }
    return Open(**fields)  # type: ignore[arg-type]  # of any field


OPENS = (
    opened(40, "/etc/ld.so.cache"),
    opened(40.1, "/usr/local/lib/python3/site-packages/a/rather/long/way/down/to/one/module/of/many/__init__.py"),
    opened(41, "/etc/shadow", ret=-13, error="EACCES", uid=33, user="www-data", comm="php-fpm", pid=812, ns=11_000),
    opened(42, "src/basket.c", dirfd=7, flags="O_RDWR|O_CREAT|O_TRUNC", ns=1_400_000_000),
    opened(43, "/no/such/file", ret=-2),
    opened(44, None, ret=-14, error="EFAULT"),
    opened(45, "x" * 511, ret=-36, error="ENAMETOOLONG", cut=("path",), tid=4107, user=None, uid=0),
)


def on(at: float = 30) -> Batch:
    return batch("opens", at, probe_state("opens", "on", at))


def with_opens() -> FakeSource:
    return FakeSource([*minute(), on(), batch("opens", 59, *OPENS)])


@SIZES
def test_five_panes(looks_the_same: Look, size: tuple[int, int]) -> None:
    assert looks_the_same(with_opens(), size)


def test_details(looks_the_same: Look) -> None:
    assert looks_the_same(with_opens(), (120, 35), "shift+tab", "k", "k", "k", "k", "enter")


def regions(app: EbpftopApp) -> dict[str, tuple[int, int, int, int]]:
    return {pane.probe: tuple(pane.region) for pane in app.main.panes if pane.display}  # type: ignore[misc]  # of four


@SIZES
async def test_it_takes_room_only_while_it_is_on(size: tuple[int, int]) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, source)
        four = regions(app)
        assert set(four) == {"execs", "users", "syscalls", "trace"}
        source.give(on())
        await until(pilot, lambda: "opens" in regions(app))
        await settle(pilot, source)
        five = regions(app)
        screen = sum(width * height for _, _, width, height in four.values())
        assert sum(width * height for _, _, width, height in five.values()) == screen
        assert min(height for _, _, _, height in five.values()) >= 4, "a row of each is seen"
        await pilot.press("space")
        await settle(pilot, source)
        assert min(height for _, _, _, height in regions(app).values()) >= 4, "beside PAUSED too"
        await pilot.press("space")
        source.give(batch("opens", 60, probe_state("opens", "off", 60)))
        await until(pilot, lambda: regions(app) == four)


async def test_turned_off_it_stays_while_it_has_the_focus() -> None:
    source = with_opens()
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("shift+tab")
        assert app.main.pane is pane(app, "opens")
        source.give(batch("opens", 60, probe_state("opens", "off", 60)))
        await settle(pilot, source)
        assert "opens" in regions(app)
        assert "5 attaches it" in "".join(span.text for span in pane(app, "opens").lines.message)
        await pilot.press("tab")
        await until(pilot, lambda: "opens" not in regions(app))
        for _ in range(4):
            await pilot.press("tab")
            assert app.main.pane.probe != "opens"


async def test_its_key_turns_it_on_and_the_footer_has_no_room_for_it() -> None:
    source = FakeSource(minute())
    source.toggled.append("opens")  # as a live source has it at first
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        await pilot.press("5")
        await until(pilot, lambda: pane(app, "opens").state == "on")
        assert "opens" in regions(app)
        assert source.toggled == ["opens", "opens"]


async def test_a_filter_typed_in_it_is_its_own() -> None:
    source = with_opens()
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        opens = pane(app, "opens")
        assert isinstance(opens, OpensPane)
        await pilot.press("shift+tab", "slash", *"ENOENT|shadow", "enter")
        await until(pilot, lambda: len(opens.model.view) == 2)
        assert [event.path for event in opens.model.view.rows()] == ["/etc/shadow", "/no/such/file"]
        assert app.main.execs.typed_query is None
        assert "/ENOENT|shadow picks what is shown" in opens.title_text
        await pilot.press("escape")
        await until(pilot, lambda: len(opens.model.view) == len(OPENS))


async def test_a_user_is_filtered_by_its_rows_too() -> None:
    source = with_opens()
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35)) as pilot:
        await settle(pilot, source)
        opens = pane(app, "opens")
        assert isinstance(opens, OpensPane)
        await pilot.press("shift+tab", "k", "k", "k", "k", "k")
        row = opens.log_lines.selected()
        assert row is not None
        await pilot.press("u")
        await settle(pilot, source)
        assert app.main.filters.stack.filter.uids == (row.uid,)
        await until(pilot, lambda: {event.uid for event in opens.model.view.rows()} == {row.uid})


async def test_a_recording_without_opens_shows_four_panes() -> None:
    source = FakeSource(execs(), live=False)
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, source)
        assert "opens" not in regions(app)


async def seen(pilot: Pilot[int], source: FakeSource) -> list[str]:
    await settle(pilot, source)
    assert isinstance(pilot.app, EbpftopApp)
    region = pane(pilot.app, "opens").region
    strips = pilot.app.screen._compositor.render_strips()[region.y : region.bottom]
    return [strip.crop(region.x, region.right).text for strip in strips]


async def test_failures_and_unread_paths_are_seen() -> None:
    source = with_opens()
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50)) as pilot:
        text = "\n".join(await seen(pilot, source))
    for wanted in ("EACCES", "ENOENT", "EFAULT", "(path could not be read)", "fd 7: src/basket.c", "1.4s"):
        assert wanted in text
    assert "many/__init__.py" in text
