"""Settings on the screen: what the file says is what is seen, and what is changed there is in the file."""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

import ebpftop.ui
from ebpftop.models.watch import compile_watch
from ebpftop.settings import places
from ebpftop.settings.reading import parse
from ebpftop.settings.rows import MOUSE
from ebpftop.settings.store import Settings, load
from ebpftop.ui.app import EbpftopApp
from ebpftop.ui.panes.syscalls import SyscallsPane
from ebpftop.ui.screens.column_picker import ColumnsScreen
from ebpftop.ui.screens.details import SheetScreen
from ebpftop.ui.screens.go_to import GoScreen
from ebpftop.ui.screens.help import HelpScreen
from ebpftop.ui.screens.key_map import bindings
from ebpftop.ui.screens.key_names import wrong_key
from ebpftop.ui.screens.key_prompt import KeyScreen
from ebpftop.ui.screens.list_settings import lists_of
from ebpftop.ui.screens.opened import MADE_IN_ADVANCE
from ebpftop.ui.screens.settings import SettingsScreen
from ebpftop.ui.widgets.row_view import RowView
from ebpftop.ui.widgets.sheet_title import SheetTitle

from .conftest import settle, until
from .scene import FakeSource, Remembered, minute


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of settings; it is not there yet."""
    monkeypatch.setattr(places, "SYSTEM", str(tmp_path / "none"))
    monkeypatch.setattr(places, "user_file", lambda: str(tmp_path / "config.toml"))
    monkeypatch.delenv(places.VARIABLE, raising=False)
    yield tmp_path / "config.toml"
    os.environ["TZ"] = "UTC"
    time.tzset()


@asynccontextmanager
async def running(
    settings: Settings, source: FakeSource | Remembered | None = None, size: tuple[int, int] = (120, 35)
) -> AsyncIterator[Pilot[Any]]:
    source = source or Remembered(minute())
    app = EbpftopApp(source, settings=settings)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot, source)
        yield pilot


def app_of(pilot: Pilot[Any]) -> EbpftopApp:
    assert isinstance(pilot.app, EbpftopApp)
    return pilot.app


def saved(file: Path) -> dict[str, Any]:
    return parse(file.read_text()) if file.exists() else {}


async def open_settings(pilot: Pilot[Any]) -> SettingsScreen:
    await pilot.press("f2")
    await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen) and pilot.app.screen.paths)
    screen = pilot.app.screen
    assert isinstance(screen, SettingsScreen)
    return screen


async def choose(pilot: Pilot[Any], screen: SettingsScreen, *path: str) -> None:
    screen.query_one(OptionList).highlighted = screen.paths.index(path)
    await pilot.pause()


def row(screen: SettingsScreen, *path: str) -> str:
    option = screen.query_one(OptionList).get_option_at_index(screen.paths.index(path))
    return str(option.prompt)


def notices(pilot: Pilot[Any]) -> list[str]:
    return [notice.message for notice in app_of(pilot)._notifications]


async def test_what_the_file_says_is_there_with_the_first_picture(file: Path) -> None:
    file.write_text(
        'theme = "light"\nclock = "utc"\n[sort]\nusers = "-uid"\nsyscalls = "max"\n[columns]\n'
        'execs = {show = ["pid", "command"], widths = {pid = 9}}\n[keys]\npane.maximise = "f9"\n'
    )
    async with running(load()) as pilot:
        app = app_of(pilot)
        assert app.theme == "light"
        assert time.tzname[0] == "UTC"
        views = lists_of(app.main.panes)
        users: Any = views["users"]
        assert (users.sort_key, users.reversed) == ("uid", True)
        assert [slot.column.key for slot in views["execs"].slots] == ["pid", "command"]
        assert views["execs"].slots[0].width == 9
        await pilot.press("f9")
        assert app.main.has_class("-maximised")
        await pilot.press("m")
        assert app.main.has_class("-maximised")
        assert not notices(pilot)
    assert app.kept.settings.changed == {}


@pytest.mark.parametrize("why", ["nothing, because of this", ""])
async def test_where_nothing_is_saved_the_title_says_why_and_no_notice_comes(file: Path, why: str) -> None:
    settings = load() if why else load("")
    settings.unsaved = why
    async with running(settings) as pilot:
        screen = await open_settings(pilot)
        await choose(pilot, screen, "mouse")
        await pilot.press("enter")
        await until(pilot, lambda: settings[MOUSE] is False and not settings.changed)
        await until(pilot, lambda: app_of(pilot).kept.saved_s)
        screen._show_title()
        title = screen._title.text
        assert (why or "no file: nothing is saved") in title
        assert "saved" not in title.replace("nothing is saved", "")
        assert not notices(pilot)
    assert not file.exists()


@pytest.mark.usefixtures("made_in_advance")
async def test_names_that_only_the_screen_knows_are_told_with_their_line(file: Path) -> None:
    file.write_text(
        'theme = "brown"\nsort.userss = "uid"\nsort.users = "uidd"\nsort.execs = "time"\n'
        'columns.users.show = ["usr"]\n[keys]\npane.nex = "f9"\n'
    )
    async with running(load()) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: len(notices(pilot)) == 6)
        told = " ".join(notices(pilot))
        for part in (
            ":1: theme: 'brown' is not one of auto, dark, light, contrast, blue-orange, 16; the default is used: auto",
            ":2: sort.userss: there is no list of this name; did you mean users?",
            ":3: sort.users: 'uidd' is not a column to sort by; did you mean uid?",
            ":4: sort.execs: execs is not sorted",
            ":5: columns.users: users has no column 'usr'; did you mean user?",
            ':7: keys."pane.nex": there is no action with this id; did you mean pane.next?',
        ):
            assert part in told
        screen = await open_settings(pilot)
        assert "(line 1)" in str(screen.query_one(".settings-about").content)  # type: ignore[attr-defined]
        assert app.theme == "dark"


@pytest.mark.usefixtures("made_in_advance")
async def test_a_file_that_was_named_has_to_be_right_for_the_screen_too(file: Path) -> None:
    file.write_text('sort.users = "uidd"\n')
    source = Remembered(minute())
    app = EbpftopApp(source, settings=load(str(file)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: not app.is_running)
    assert app.return_code == 2


async def test_what_is_chosen_takes_effect_and_is_saved_at_once(file: Path) -> None:
    async with running(load()) as pilot:
        app = app_of(pilot)
        screen = await open_settings(pilot)
        await choose(pilot, screen, "theme")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: saved(file) == {"theme": "light"})
        assert app.theme == "light"
        assert "light" in row(screen, "theme")
        await pilot.press("left")
        await until(pilot, lambda: saved(file) == {"theme": "dark"})
        await until(pilot, lambda: "saved " in screen.query_one(SheetTitle).text)
        await pilot.press("delete")
        await until(pilot, lambda: saved(file) == {})
        await choose(pilot, screen, "memory")
        await pilot.press("delete", "enter", *["backspace"] * 3, *"64", "enter")
        await until(pilot, lambda: saved(file) == {"memory": 64})
        assert "from the next start on" in row(screen, "memory")
        await choose(pilot, screen, "clock")
        await pilot.press("right")
        await until(pilot, lambda: saved(file) == {"memory": 64, "clock": "utc"})
        await pilot.press("escape")
        assert app.screen is app.main


async def test_what_is_typed_is_checked_before_it_counts(file: Path) -> None:
    source = FakeSource(minute())
    async with running(load(), source) as pilot:
        app = app_of(pilot)
        screen = await open_settings(pilot)
        about = screen.query_one(".settings-about")
        await choose(pilot, screen, "interval")
        await pilot.press("enter", "0", "enter")
        assert "✗ 0 is not a number of seconds from 0.05 to 3600" in str(about.content)  # type: ignore[attr-defined]
        assert screen.query_one(Input).display
        assert not saved(file)
        await pilot.press("escape")
        assert not screen.query_one(Input).display
        assert isinstance(app.screen, SettingsScreen)
        await pilot.press("enter", "2", "enter")
        await until(pilot, lambda: saved(file) == {"interval": 2})
        assert app.main.interval_s == 2.0
        await choose(pilot, screen, "uid")
        await pilot.press("enter", *"q,0", "enter")  # q does not leave
        assert "'q' is neither a uid nor a user" in str(about.content)  # type: ignore[attr-defined]


async def test_orders_columns_and_keys_are_settings_too(file: Path) -> None:
    async with running(load()) as pilot:
        app = app_of(pilot)
        screen = await open_settings(pilot)
        await choose(pilot, screen, "sort", "users")
        await pilot.press("enter")
        await until(pilot, lambda: "users" in saved(file).get("sort", {}))
        users: Any = lists_of(app.main.panes)["users"]
        assert f"{'-' if users.reversed else ''}{users.sort_key}" == saved(file)["sort"]["users"]
        await pilot.press("delete")
        await until(pilot, lambda: saved(file) == {})
        await choose(pilot, screen, "columns", "users")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        await pilot.press("right", "escape")
        await until(pilot, lambda: saved(file).get("columns", {}).get("users", {}).get("widths"))
        await choose(pilot, screen, "keys", "pane.maximise")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, KeyScreen))
        await pilot.press("c")
        await until(pilot, lambda: saved(file).get("keys") == {"pane.maximise": "c"})
        await until(pilot, lambda: any("also the key of pane.columns" in text for text in notices(pilot)))
        await pilot.press("enter", "f9")
        await until(pilot, lambda: saved(file).get("keys") == {"pane.maximise": "f9"})
        await pilot.press("enter", "escape", "escape", "f9")
        assert app.main.has_class("-maximised")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        help_screen = app.screen
        assert isinstance(help_screen, HelpScreen)
        assert any("f9" in entry.term.lower() for section in help_screen.sections for entry in section.entries)


async def test_an_empty_key_takes_it_away_and_the_palette_keeps_the_action(file: Path) -> None:
    file.write_text('[keys]\n"pane.maximise" = ""\nlayout = "M"\n')
    async with running(load()) as pilot:
        app = app_of(pilot)
        await pilot.press("m")
        assert not app.main.has_class("-maximised")
        assert [command.key for command in app.commands() if command.title == "Max"] == [""]
        await pilot.press("M")
        assert app.main.pane_layout.preset == "logs"
        screen = await open_settings(pilot)
        await choose(pilot, screen, "keys", "pane.next")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, KeyScreen))
        await pilot.press("delete")
        await until(pilot, lambda: saved(file)["keys"].get("pane.next") == "")
        assert screen.lines.value(("keys", "pane.next")) == "-"


@pytest.mark.usefixtures("made_in_advance")
async def test_keys_that_are_none_are_refused_and_shared_ones_are_told(file: Path) -> None:
    file.write_text(
        '[keys]\nquit = "ctrl-q"\nhelp = "PgDn"\n"pane.maximise" = "c"\n"execs.fold" = "i"\nuser = "ß,?,ctrl+f5"\n'
    )
    async with running(load()) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: len(notices(pilot)) == 4)
        told = "\n".join(notices(pilot))
        assert ":2: keys.quit: 'ctrl-q' is not a key; did you mean ctrl+q?; allowed are one character, f1" in told
        assert ":3: keys.help: 'PgDn' is not a key; did you mean pagedown?" in told
        assert ':4: keys."pane.maximise": c is also the key of pane.columns' in told
        assert ":6: keys.user: ? is also the key of help" in told
        assert "execs.fold" not in told  # i is a key of another pane
        assert app.kept.settings.value(("keys", "pane.maximise")) == "c"
        assert app.kept.settings.value(("keys", "quit")) is None


def test_all_keys_that_actions_have_are_keys() -> None:
    assert not [b.key for declared in bindings().values() for b in declared if wrong_key(b.key)]
    for name, proposal in (
        ("F5", "f5"),
        ("Ctrl-R", "ctrl+r"),
        ("esc", "escape"),
        ("hyperr+r", ""),
        ("bakspace", "backspace"),
    ):
        assert (f"did you mean {proposal}?" in wrong_key(name)) is bool(proposal), wrong_key(name)
        assert "allowed are" in wrong_key(name)


def test_an_action_has_one_id_on_all_screens() -> None:
    for module in pkgutil.walk_packages(ebpftop.ui.__path__, "ebpftop.ui."):
        importlib.import_module(module.name)
    ids: dict[tuple[str, str], set[str]] = {}
    for name, declared in bindings().items():
        for binding in declared:
            if len(binding.key) == 1 and binding.key.isalpha():
                ids.setdefault((binding.key, binding.description), set()).add(name)
    # These are of one list each: the help says so beside it.
    del ids["z", "Fold"], ids["y", "Copy"]
    assert {key: names for key, names in ids.items() if len(names) > 1} == {}
    assert {binding.action for binding in bindings()["help"]} == {"help", "app.help"}


@pytest.mark.usefixtures("made_in_advance")
async def test_a_key_of_a_setting_is_that_of_sheets_too(file: Path) -> None:
    file.write_text('[keys]\nhelp = "f9"\n"go_to" = "f8"\n')
    async with running(load()) as pilot:
        app = app_of(pilot)
        await until(pilot, lambda: bool(app.main.execs.log_lines.rows()))
        await pilot.press("g", "enter")
        await until(pilot, lambda: isinstance(app.screen, SheetScreen))
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(app.screen, GoScreen))
        await pilot.press("escape", "f9")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert not notices(pilot)


async def test_what_is_watched_for_is_a_setting(file: Path) -> None:
    async with running(load()) as pilot:
        app = app_of(pilot)
        watching = app.main.watching
        watching.add(compile_watch("exit.core"))
        app.kept.keep_watches()
        await until(pilot, lambda: saved(file) == {"when": ["exit.core"]})
        screen = await open_settings(pilot)
        await choose(pilot, screen, "when")
        await pilot.press("enter")
        screen._input.value = "exit.core; exit.comm == 'a;b' || exec.uid in [0, 1]; "
        await pilot.press("enter")
        both = ["exit.core", "exit.comm == 'a;b' || exec.uid in [0, 1]"]
        await until(pilot, lambda: saved(file) == {"when": both})
        assert list(watching.expressions) == both
        await pilot.press("delete")
        await until(pilot, lambda: saved(file) == {})
        assert not watching.watches
        await pilot.press("enter")
        screen._input.value = "exit.cor"
        await pilot.press("enter")
        await until(pilot, lambda: "did you mean core?" in screen.lines.wrong[1])


async def test_what_was_wrong_is_no_longer_said_when_it_is_corrected(file: Path) -> None:
    file.write_text("interval = 0\n")
    async with running(load(), FakeSource(minute())) as pilot:
        screen = await open_settings(pilot)
        await choose(pilot, screen, "interval")
        assert "✗ 0 is not a number of seconds" in screen.lines.hint(("interval",))[0]
        await pilot.press("enter")
        screen._input.value = "2"
        await pilot.press("enter")
        await until(pilot, lambda: saved(file) == {"interval": 2})
        assert screen.lines.hint(("interval",))[0] == "seconds from 0.05 to 3600"


async def test_graphs_are_a_setting_that_their_key_changes(file: Path) -> None:
    file.write_text("graphs = false\n")
    async with running(load()) as pilot:
        app = app_of(pilot)
        assert not app.main.graphs.widget.display
        await pilot.press("O")
        app.kept.now_and_then()
        await until(pilot, lambda: "graphs" not in saved(file) or saved(file)["graphs"])
        assert app.main.graphs.widget.display
        app.kept.change(("graphs",), False)
        assert not app.main.graphs.widget.display


async def test_what_is_changed_elsewhere_is_remembered_without_being_asked(file: Path) -> None:
    source = FakeSource(minute())
    async with running(load(), source) as pilot:
        app = app_of(pilot)
        app.choose_theme("contrast")
        await pilot.press("plus", "tab", "greater_than_sign")
        app.kept.now_and_then()
        await until(pilot, lambda: saved(file).keys() == {"theme", "interval", "sort"})
        assert saved(file)["theme"] == "contrast"
        before = file.stat().st_mtime_ns
        app.kept.now_and_then()
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen))
        await pilot.press("right", "escape")
        assert file.stat().st_mtime_ns == before
        await pilot.press("q")
    app.kept.now_and_then()  # a timer may be late
    # At the end it is noticed too, and saved when the screen is gone.
    assert ("columns", "users") in app.kept.settings.changed


async def test_the_layout_and_how_failures_are_shown_are_kept(file: Path) -> None:
    file.write_text('layout = "logs"\nfailures = "all"\npanes.execs.height = 2\npanes.trases.hidden = true\n')
    async with running(load()) as pilot:
        app = app_of(pilot)
        assert app.main.pane_layout.preset == "logs"
        assert app.main.pane_layout.weights == {"execs": 2.0}
        assert "users" not in [pane.probe for pane in app.main.shown_panes]
        shown: Any = app.main.execs.model.view
        assert shown.failures == "all"
        told = ":4: panes.trases: there is no pane of this name; did you mean trace?"
        await until(pilot, lambda: told in " ".join(notices(pilot)))
        await pilot.press("e", "L", "right_curly_bracket")
        screen = await open_settings(pilot)
        assert "calls" in row(screen, "layout")
        await until(pilot, lambda: saved(file).get("layout") == "calls")
        assert saved(file)["failures"] == "only"
        assert saved(file)["panes"]["execs"]["height"] > 2
        await choose(pilot, screen, "panes", "trace")
        await pilot.press("enter")
        await until(pilot, lambda: saved(file)["panes"].get("trace") == {"hidden": True})
        await choose(pilot, screen, "layout")
        await pilot.press("delete")
        await until(pilot, lambda: "layout" not in saved(file))
        assert app.main.pane_layout.preset == "all"
        assert "trace" not in [pane.probe for pane in app.main.shown_panes]
        await choose(pilot, screen, "failures")
        await pilot.press("right")
        await until(pilot, lambda: saved(file)["failures"] == "none")
        assert shown.failures == "none"


async def test_wrapping_is_kept_and_set(file: Path) -> None:
    file.write_text("wrap = true\n")
    async with running(load()) as pilot:
        app = app_of(pilot)
        lists = [view for pane in app.main.panes for view in pane.query(RowView)]
        assert all(view.wraps for view in lists)
        await pilot.press("w")
        assert not any(view.wraps for view in lists)
        app.kept.now_and_then()
        await until(pilot, lambda: saved(file).get("wrap") is False)
        screen = await open_settings(pilot)
        await choose(pilot, screen, "wrap")
        await pilot.press("enter")
        await until(pilot, lambda: saved(file).get("wrap") is True)
        assert all(view.wraps for view in lists)


async def test_nothing_is_remembered_if_that_is_off(file: Path) -> None:
    file.write_text("remember = false\n")
    async with running(load()) as pilot:
        app = app_of(pilot)
        app.choose_theme("contrast")
        app.kept.now_and_then()
    assert app.kept.settings.changed == {}


async def test_a_file_that_cannot_be_written_is_told_once(file: Path) -> None:
    file.mkdir()
    async with running(Settings(user=load().user)) as pilot:
        app = app_of(pilot)
        app._notifications.clear()
        screen = await open_settings(pilot)
        await choose(pilot, screen, "theme")
        for _ in range(3):
            await pilot.press("enter")
            await until(pilot, lambda: app.kept.trouble and not app.kept._is_saving)
        assert len([text for text in notices(pilot) if "Settings are not saved in" in text]) == 1
        assert "not saved" in screen.query_one(SheetTitle).text


async def test_a_probe_is_asked_about_if_that_is_wanted(file: Path) -> None:
    file.write_text("confirm = true\n")
    source = FakeSource(minute())
    async with running(load(), source) as pilot:
        app = app_of(pilot)
        toggled: list[bool] = []
        app.main.panes[0].start_toggle = lambda: toggled.append(True)  # type: ignore[method-assign]
        await pilot.press("1")
        assert not toggled
        assert "Press it once more" in notices(pilot)[-1]
        await pilot.press("2", "1")
        assert not toggled
        await pilot.press("1")
        assert toggled == [True]


async def test_filters_with_names_are_in_the_palette(file: Path) -> None:
    file.write_text('[filters]\ncompilers = "gcc|cc1"\n')
    async with running(load()) as pilot:
        app = app_of(pilot)
        commands = {command.title: command for command in app.commands()}
        commands["Filter compilers"].callback()
        await until(pilot, lambda: app.main.execs.filter_text == "/gcc|cc1")
        await pilot.press(*"|as")
        await pilot.press("enter")
        commands = {command.title: command for command in app.commands()}
        commands["Keep this filter"].callback()
        await until(pilot, lambda: saved(file)["filters"] == {"compilers": "gcc|cc1", "gcc|cc1|as": "gcc|cc1|as"})


async def test_calls_that_are_ignored_and_traced_can_be_kept(file: Path) -> None:
    source = FakeSource(minute())
    async with running(load(), source) as pilot:
        app = app_of(pilot)
        model = app.main.query_one(SyscallsPane).model
        for call in model.calls.values():
            model.ask(call.key, "count")
        assert "Keep ignored and traced calls" not in [one.title for one in app.commands()]
        first, second, *_ = model.calls.values()
        model.ask(first.key, "ignore")
        model.ask(second.key, "trace")
        commands = {command.title: command for command in app.commands()}
        commands["Keep ignored and traced calls"].callback()
        names = [f"{call.row.abi}:{call.row.name}" for call in (first, second)]
        await until(pilot, lambda: saved(file) == {"ignore": names[0], "trace": names[1]})
    assert not load().problems


async def test_every_action_has_an_id_by_which_its_key_can_be_set() -> None:
    assert MADE_IN_ADVANCE  # all screens are imported
    from textual.binding import Binding
    from textual.dom import DOMNode

    kinds: list[type[DOMNode]] = [DOMNode]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__module__.startswith("ebpftop."):
            for binding in kind.__dict__.get("BINDINGS", ()):
                assert isinstance(binding, Binding), kind
                assert binding.id, (kind, binding)
    assert "settings" in bindings()


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 35)])
def test_the_settings_look_like_this(
    looks_the_same: Any, file: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The scroll bar says how many keys there are.
    some = {name: keys for name, keys in bindings().items() if name in ("help", "quit", "settings")}
    monkeypatch.setattr("ebpftop.ui.screens.kept.bindings", lambda: some)
    monkeypatch.setattr("ebpftop.ui.screens.setting_lines.bindings", lambda: some)

    async def before(pilot: Pilot[Any]) -> None:
        app = app_of(pilot)
        app.kept.now_and_then = lambda: None  # type: ignore[method-assign]  # nothing is written
        app._problems_reported = 9  # a notice that comes when it comes would be in the picture
        app.kept.settings.user = load().user
        own = app.kept.settings.user
        assert own is not None
        own.name = "/home/ann/.config/ebpftop/config.toml"
        app.kept.saved_s = 1_800_000_000.0
        screen = await open_settings(pilot)
        await choose(pilot, screen, "interval")
        screen._show_title()

    file.write_text('theme = "light"\ninterval = 0\n[keys]\nhelp = "h"\n')
    assert looks_the_same(Remembered(minute()), size, before=before)
