"""Nothing that comes from a recording, the kernel or the user becomes markup, a link or an action."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.content import Content
from textual.strip import Strip
from textual.widgets._toast import Toast

import ebpftop
from ebpftop.core.records import Record
from ebpftop.core.source import Batch, SourceError
from ebpftop.ui.app import EbpftopApp

from .conftest import pane, settle, until
from .scene import FakeSource, minute
from .syscall_scene import minute_of_calls

HOSTILE = (
    "[@click=app.quit]Q[/]",
    "[a=",
    "[/]Q",
    "[bold red]Q[/bold]",
    "[link=file:///etc/passwd]Q",
    "\\[Q",
    "[$error]Q",
)

NOT_TEXT = {"probe", "state", "where", "abi", "handler", "schema"}
"""Fields that hold one of a few words."""


def hostile(record: Record, draw: Callable[[], str]) -> Any:
    """Return *record* with hostile text wherever it holds text."""

    def changed(value: Any, name: str) -> Any:
        if isinstance(value, msgspec.Struct):
            return msgspec.structs.replace(
                value, **{f: changed(getattr(value, f), f) for f in value.__struct_fields__ if f not in NOT_TEXT}
            )
        if isinstance(value, tuple):
            return tuple(changed(one, name) for one in value)
        if isinstance(value, dict):
            return {changed(key, name): one for key, one in value.items()}
        return (
            draw() if isinstance(value, str) or (value is None and name in ("container", "reason", "remedy")) else value
        )

    return changed(record, "")


def hostile_minute(seed: int) -> list[Batch]:
    """Return a minute in which every text is hostile."""
    chooses = random.Random(seed)
    batches = [*minute(), *minute_of_calls()]
    return [
        Batch(b.probe, b.time, tuple(hostile(r, lambda: chooses.choice(HOSTILE)) for r in b.records)) for b in batches
    ]


def drawn(app: App[Any]) -> list[Strip]:
    return app.screen._compositor.render_strips()


def links(app: App[Any]) -> list[object]:
    """Return what of the screen does something when clicked, by its style."""
    return [
        segment.style
        for strip in drawn(app)
        for segment in strip
        if segment.style and (segment.style.link or _acts(segment.style.meta))
    ]


def _acts(meta: dict[str, object]) -> bool:
    own = ("grab", "release", "scroll_up", "scroll_down")  # those of Textual's scrollbars
    return any(key.startswith("@") and value not in own for key, value in meta.items())


SCREENS = {
    "main": (),
    "exec": ("k", "enter"),
    "tree": ("t",),
    "process": ("t", "j", "j", "j", "enter"),
    "user": ("tab", "j", "enter"),
    "syscall": ("tab", "tab", "j", "enter"),
    "waiting": ("tab", "tab", "I"),
    "process_calls": ("tab", "tab", "I", "j", "enter"),
    "table": ("tab", "tab", "s"),
    "traced": ("tab", "tab", "S"),
    "trace": ("tab", "tab", "tab", "k", "enter"),
    "diagnostics": ("exclamation_mark",),
    "columns": ("c",),
    "save": ("E",),
    "palette": ("ctrl+p", *"[@click=app.quit]"),
    "copied": ("k", "y"),
    "user_step": ("k", "u", "enter"),
    "container_step": ("k", "U"),
    "typed": ("slash", *"comm:[a= [@click=app.quit]Q", "enter"),
    "handler": ("tab", "tab", "j", "i"),
    "toggled": ("1", "2"),
}


@pytest.mark.parametrize("name", SCREENS)
async def test_hostile_text_is_drawn_as_it_is(name: str) -> None:
    seed = sorted(SCREENS).index(name)
    source = FakeSource(hostile_minute(seed))
    source.header = hostile(source.header, lambda: HOSTILE[seed % len(HOSTILE)])
    source.refuses = source.refuses_filter = SourceError(HOSTILE[0] + HOSTILE[1], HOSTILE[2])
    app = EbpftopApp(source)
    async with app.run_test(size=(200, 50), notifications=True, tooltips=True) as pilot:
        await settle(pilot, source)
        await pilot.press(*SCREENS[name])
        await settle(pilot, source)
        if name in ("user_step", "container_step", "typed", "handler", "toggled"):
            await until(pilot, lambda: app._notifications)
        await pilot.pause(0.1)
        text = "\n".join(strip.text for strip in drawn(app))
        assert "Q" in text or name in ("palette", "columns")
        assert any(hostile in text for hostile in HOSTILE)
        assert not links(app)
        assert app.is_running


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_notice_of_anybody_is_no_markup(text: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        app.notify(text, title=text)
        app.main.notify(text, title=f"{text} again", markup=True)
        pane(app, "execs").notify(text, severity="error")
        await pilot.pause(0.2)
        assert "\n".join(strip.text for strip in drawn(app)).count(text) >= 5
        assert not links(app)


def test_every_widget_that_could_parse_markup_is_told_not_to() -> None:
    takes = {"Static", "Label", "OptionList"}
    for path in Path(ebpftop.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        own = {
            n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and any(_name(b) in takes for b in n.bases)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (_name(node.func) in takes or (own and _is_super_init(node))):
                told = {k.arg: k.value for k in node.keywords}.get("markup")
                assert isinstance(told, ast.Constant), f"{path}:{node.lineno}"
                assert told.value is False, f"{path}:{node.lineno}"
        assert "from_markup" not in path.read_text()


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_super_init(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Attribute) and node.func.attr == "__init__" and "super" in ast.dump(node.func)


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_notice_with_a_link_has_no_other(text: str) -> None:
    source = FakeSource(minute())
    app = EbpftopApp(source)
    async with app.run_test(size=(120, 35), notifications=True) as pilot:
        await settle(pilot, source)
        app.offer(f"{text} is off. ", "Undo", "app.help", text, 60.0)
        await until(pilot, lambda: app.screen.query(Toast))
        shown = app.screen.query_one(Toast).render()
        assert isinstance(shown, Content)
        assert shown.plain == f"{text} is off. Undo{text}"
        assert [shown.plain[span.start : span.end] for span in shown.spans] == ["Undo"]
