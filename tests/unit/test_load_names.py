"""Names that stand for numbers in maps of a program of one's own: what is shown can be typed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ebpftop.core.load_records import Field, Meaning
from ebpftop.kernel.load.values import BadValue
from ebpftop.kernel.root_work import RootWork
from ebpftop.probes.load_names import LoadNames
from ebpftop.probes.user_names import UserNames


def field(meaning: Meaning) -> Field:
    return Field(type="u32", kind="uint", size=4, meaning=meaning)


@pytest.fixture
def names() -> LoadNames:
    return LoadNames(UserNames(), RootWork(Path("unused")))


@pytest.mark.parametrize(
    ("meaning", "value"),
    [("uid", 0), ("errno", 2), ("ret", -13), ("syscall", 0), ("syscall", 59), ("signal", 9), ("signal", 34)],
)
def test_a_name_is_the_number_that_it_is_shown_for(names: LoadNames, meaning: Meaning, value: int) -> None:
    shown = names.name(field(meaning), value, {})
    assert shown is not None
    assert names.number(field(meaning), shown) == value


def test_names_that_stand_for_nothing(names: LoadNames) -> None:
    meanings: tuple[Meaning, ...] = ("uid", "pid", "errno", "ret", "syscall", "signal", "bytes", "")
    for meaning in meanings:
        assert names.number(field(meaning), "nobody-of-that-name") is None
    assert names.number(field("errno"), "enoent") == 2
    assert names.number(field("signal"), "kill") == 9


def test_a_command_is_its_process_if_there_is_one_only(names: LoadNames) -> None:
    name = f"only-{os.getpid() % 100_000}"
    command = ("bash", "-c", f"echo -n {name} > /proc/$$/comm; echo; read")
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for run in runs:
            assert run.stdout is not None
            run.stdout.readline()
        with pytest.raises(BadValue, match=f"2 processes are called {name}: type the pid"):
            names.number(field("pid"), name)
        runs[1].communicate(b"\n")
        fresh = LoadNames(UserNames(), RootWork(Path("unused")))
        assert fresh.number(field("pid"), name) == runs[0].pid
    finally:
        for run in runs:
            run.kill()
            run.wait()
