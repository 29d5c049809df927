"""Rows that other packages bring: one that cannot be used is disabled alone, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpftop.core.records import TableReading
from ebpftop.probes.registry import PROBES, Registry, _check_tables
from ebpftop.ui.registry import PANES, Panes

_PROBE = """
from ebpftop.probes.registry import ProbeRow
PROBE = ProbeRow(**{{"name": "theirs", "about": "", "probe": "m:P", "records": (), {fields}}})
"""
_PANE = """
from ebpftop.ui.panes.log import LogPane
from ebpftop.ui.registry import PaneRow
class P(LogPane):
    probe = "opens"
    {body}
PANE = PaneRow(**{{"pane": "plugin_module:P", "log": True, "heights": (1, 1, 1), {fields}}})
"""
_TEXTS = 'label = empty_text = "x"'


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a distribution package whose module a test writes."""
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    points = "[ebpftop.probes]\ntheirs = plugin_module:PROBE\n"
    (info / "entry_points.txt").write_text(f"{points}[ebpftop.panes]\ntheirs = plugin_module:PANE\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "plugin_module", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"ladders": None', "ladders are names of 1 to 16 small letters"),
        ('"ladders": (1,)', "ladders are names of 1 to 16 small letters"),
        ('"ladders": ("a=b\\x1b[31m",)', "ladders are names of 1 to 16 small letters"),
        ('"about": None', "probe and about are texts"),
        ('"probe": 5', "probe and about are texts"),
        ('"name": 5', "5 is not a name of 1 to 16 small letters"),
        ('"records": None', "TypeError"),
    ],
)
def test_a_probe_whose_row_is_wrong_is_disabled(site: Path, fields: str, reason: str) -> None:
    (site / "plugin_module.py").write_text(_PROBE.format(fields=fields))
    found = Registry()
    assert found.names == tuple(row.name for row in PROBES if row.probe is not None)
    assert found.ladders
    (disabled,) = found.disabled
    assert reason in disabled.reason


_READING = """
import msgspec
from ebpftop.core.records import TableReading
from ebpftop.probes.registry import ProbeRow
class Row(msgspec.Struct):
    uid: int
    user: str
    maybe: int | None
    count: int
class Theirs(TableReading, frozen=True, kw_only=True, tag="theirs"):
    rows: tuple[Row, ...]
    number: int
    {clock}
    keys = {keys}
    ages = {ages}
PROBE = ProbeRow(name="theirs", about="", probe="m:P", records=("plugin_module:Theirs",))
"""


@pytest.mark.parametrize(
    ("keys", "ages", "clock", "reason"),
    [
        ({"rows": ("uid", "user")}, {}, "", ""),
        ({"rows": ("uid",)}, {"rows": "count"}, "boot_ns: int", ""),
        ({}, {}, "", ""),
        ({"rows": ("nothing",)}, {}, "", "rows of Theirs are not rows with a number or text nothing"),
        ({"rows": ("maybe",)}, {}, "", "rows of Theirs are not rows with a number or text maybe"),
        ({"number": ("uid",)}, {}, "", "number of Theirs are not rows with a number or text uid"),
        ({"nothing": ("uid",)}, {}, "", "nothing of Theirs are not rows with a number or text uid"),
        ({"rows": ()}, {}, "", "keys of rows of Theirs are not a tuple of field names"),
        ({"rows": "uid"}, {}, "", "keys of rows of Theirs are not a tuple of field names"),
        (None, {}, "", "keys and ages of Theirs are objects of field names"),
        ({"rows": ("uid",)}, {"rows": "count"}, "", "Theirs has no number boot_ns, or its rows no number count"),
        (
            {"rows": ("uid",)},
            {"rows": "user"},
            "boot_ns: int",
            "Theirs has no number boot_ns, or its rows no number user",
        ),
        ({"rows": ("uid",)}, {"number": "count"}, "", "Theirs has ages of what has no keys: number"),
    ],
)
def test_a_reading_whose_rows_cannot_be_told_apart_is_disabled(
    site: Path, keys: object, ages: object, clock: str, reason: str
) -> None:
    (site / "plugin_module.py").write_text(_READING.format(keys=keys, ages=ages, clock=clock))
    found = Registry()
    assert [one.reason for one in found.disabled] == ([reason] if reason else [])


def test_the_readings_of_ebpftop_itself_are_checked_alike() -> None:
    for record in Registry().types:
        if issubclass(record, TableReading):
            _check_tables(record)


def test_what_a_package_prints_is_not_among_the_records(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "plugin_module.py").write_text('print("noise")\n' + _PROBE.format(fields=""))
    assert "theirs" in Registry().names
    assert capsys.readouterr() == ("", "noise\n")


@pytest.mark.parametrize(
    ("body", "fields", "reason"),
    [
        ('empty_text = "x"', "", "plugin_module:P has no label"),
        ("label = None; empty_text = 'x'", "", "plugin_module:P has no label"),
        ('label = "x"', "", "plugin_module:P has no empty_text"),
        (_TEXTS, '"heights": (1.5, 2.5, 3.5)', "heights are three whole numbers from 1"),
        (_TEXTS, '"heights": (1, 2, float("inf"))', "heights are three whole numbers from 1"),
        (_TEXTS, '"heights": (1, 2, 0)', "heights are three whole numbers from 1"),
        (_TEXTS, "", ""),
    ],
)
def test_a_pane_whose_row_is_wrong_is_disabled(site: Path, body: str, fields: str, reason: str) -> None:
    (site / "plugin_module.py").write_text(_PANE.format(body=body, fields=fields))
    found = Panes(PANES[:4])
    assert [one.reason for one in found.disabled] == ([reason] if reason else [])
    assert list(found.rows) == [row.name for row in PROBES[: 4 if reason else 5]]
