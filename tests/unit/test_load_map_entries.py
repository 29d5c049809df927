"""Entries of maps of a loaded file."""

from __future__ import annotations

from ebpftop.core.load_records import Field, LoadedMap, MapReading, MapRow
from ebpftop.models.load_maps import Entry, MapTable
from ebpftop.ui.panes.load_map_columns import rate_cell


def test_an_entry_that_was_read_before_its_map_had_a_counter_has_no_rate() -> None:
    """A row may be drawn once more while the columns are those of the file that was just saved."""
    entry = Entry(MapRow(id="1", key=1, value="text"))
    assert entry.gain(0).rate is None
    assert not entry.gain(1).history
    assert "".join(span.text for span in rate_cell(entry.gain(0).rate)) == "–"


def test_a_value_that_was_set_is_not_growth() -> None:
    number = Field(type="u64", kind="uint", size=8)
    table = MapTable(LoadedMap(name="counts", type="hash", key=number, value=number))

    def read(time: float, value: int) -> Entry:
        row = MapRow(id="01", key=1, value=value)
        table.read(MapReading(time=time, map="counts", type="hash", rows=(row,), entries=1))
        return table.entries["01"]

    read(1.0, 10)
    assert read(2.0, 15).gain(0).rate == 5
    table.entries["01"].written = 2.6
    assert read(2.5, 18).gain(0).rate == 6, "it was read before"
    assert read(3.5, 2000).gain(0).rate is None
    assert read(4.5, 2003).gain(0).rate == 3
    assert list(table.entries["01"].gain(0).history) == [5, 6, 3]
