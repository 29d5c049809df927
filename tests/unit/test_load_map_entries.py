"""Entries of maps of a loaded file."""

from __future__ import annotations

from ebpftop.core.load_records import MapRow
from ebpftop.models.load_maps import Entry
from ebpftop.ui.panes.load_map_columns import rate_cell


def test_an_entry_that_was_read_before_its_map_had_a_counter_has_no_rate() -> None:
    """A row may be drawn once more while the columns are those of the file that was just saved."""
    entry = Entry(MapRow(id="1", key=1, value="text"))
    assert entry.gain(0).rate is None
    assert not entry.gain(1).history
    assert "".join(span.text for span in rate_cell(entry.gain(0).rate)) == "–"
