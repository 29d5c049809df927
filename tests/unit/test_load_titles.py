"""What the first line of the workbench says of a file."""

from __future__ import annotations

import time

import pytest

from ebpftop.core.load_records import Loaded, LoadedProgram
from ebpftop.models.load import LoadModel
from ebpftop.models.programs import Totals, Usage
from ebpftop.ui.panes.load_titles import file_status, headline, of_source
from ebpftop.ui.screens.feed_screen import fitting

HELLO = LoadedProgram(name="hello", type="kprobe", id=7)


@pytest.mark.parametrize(
    ("state", "programs", "text"),
    [
        ("compiling", (), "hello.c  compiling …"),
        ("verifying", (), "hello.c  verifying …"),
        ("verifying", (HELLO,), "hello.c  verifying …the last good one runs on"),
    ],
)
def test_what_is_being_done_is_said_and_that_the_last_good_one_runs_on(
    state: str, programs: tuple[LoadedProgram, ...], text: str
) -> None:
    latest = Loaded(time=1.0, file="hello.c", path="/hello.c", state=state, programs=programs)  # type: ignore[arg-type]  # one of them
    model = LoadModel()
    model.latest = latest
    assert "".join(span.text for part in headline(model, latest, 100) for span in part) == text


def test_programs_that_were_only_tried_do_not_run_on() -> None:
    tried = LoadedProgram(name="hello", type="kprobe", reason="refused", insns=12)
    model = LoadModel()
    model.latest = latest = Loaded(time=1.0, file="hello.c", path="/hello.c", state="failed", programs=(tried,))
    assert "none runs yet" in "".join(span.text for part in headline(model, latest, 100) for span in part)
    assert (model.is_running, model.insns) == (False, 0)


def test_programs_that_do_not_fit_are_counted() -> None:
    names = ("enter", "hello_exec", "hello_open", "ignore")
    programs = tuple(LoadedProgram(name=name, type="kprobe", id=7) for name in names)
    latest = Loaded(time=1.0, file="tail.c", path="/tail.c", state="on", programs=programs)
    spans = fitting(headline(LoadModel(), latest, 40), 40)
    assert "".join(span.text for span in spans) == "tail.c · enter · hello_exec · 2 more"


def test_what_does_not_run_is_said_on_the_main_screen() -> None:
    model = LoadModel()
    assert file_status(model) == ""
    model.latest = Loaded(time=1.0, file="a.c", path="/a.c", state="on", programs=(HELLO,))
    assert file_status(model) == ""
    idle = LoadedProgram(
        name="hello_missing", type="kprobe", id=8, event="kprobe:hello_missing", reason="there is no hello_missing"
    )
    model.latest = Loaded(
        time=1.0, file="a.c", path="/a.c", state="on", programs=(HELLO, idle), unattached=("hello_missing",)
    )
    assert file_status(model) == "✗ a.c: 1 of 2 programs not attached"
    model.latest = Loaded(time=1.0, file="a.c", path="/a.c", state="failed")
    assert file_status(model) == "✗ a.c did not load"


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "hello.c · tracepoint:syscalls:sys_exit_execve · loaded 00:00:01"),
        (50, "hello.c · tracepoint:syscalls:sys_exit_execve"),
        (30, "hello.c · tracepoint:syscalls…"),
    ],
)
def test_what_runs_is_there_in_any_case(width: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    exits = LoadedProgram(
        name="tracepoint__syscalls__sys_exit_execve",
        type="tracepoint",
        id=8,
        attached=("tracepoint:syscalls:sys_exit_execve",),
    )
    latest = Loaded(time=1.0, file="hello.c", path="/hello.c", state="on", programs=(exits,))
    spans = fitting(headline(LoadModel(), latest, width), width)
    assert "".join(span.text for span in spans) == text


def test_how_many_are_not_attached_stands_behind_the_name_of_the_file() -> None:
    lost = LoadedProgram(name="lost", type="kprobe", id=8, event="kprobe:vfs_reed", reason="there is no vfs_reed")
    model = LoadModel()
    model.latest = latest = Loaded(
        time=1.0, file="hello.c", path="/hello.c", state="on", programs=(HELLO, lost), unattached=("lost",)
    )
    (name,), (mark,), *_ = headline(model, latest, 100)
    assert (name.text, mark.text, mark.style) == ("hello.c", "\u2717 1 of 2 programs not attached", "bad")


DAY_S = 86_400


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (10 * DAY_S + 100, "saved 00:01:40"),
        (9 * DAY_S + 100, "saved 10 Jan 00:01:40"),
        (10 * DAY_S + 4000, "saved 11 Jan 01:06:40"),  # the same day, but still to come
        (400 * DAY_S, "saved 5 Feb 1971 00:00:00"),
    ],
)
def test_a_file_that_was_saved_on_another_day_has_its_date(
    saved: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    model = LoadModel()
    model.latest = latest = Loaded(
        time=10 * DAY_S + 200.0, file="hello.c", path="/hello.c", state="failed", saved=saved
    )
    assert "".join(span.text for span in headline(model, latest, 100)[-1]) == said


def test_what_only_tail_calls_run_has_no_rate_because_the_kernel_counts_none() -> None:
    model = LoadModel()
    called = LoadedProgram(name="hello_open", type="kprobe", id=8)
    model.latest = Loaded(time=1.0, file="a.c", path="/a.c", state="on", programs=(HELLO, called))
    for seconds in (1.0, 2.0):
        usage = model.usage.setdefault("hello_open", Usage())
        usage.read(Totals(0, 0, 0), seconds)
    functions = {"hello_open": range(1, 4)}
    assert [part.text for part in of_source(model, 2, functions)] == ["hello_open: its tail calls are not counted"]
