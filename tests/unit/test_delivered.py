"""What a stream or a recording says at its end of what is missing."""

from __future__ import annotations

import os

from ebpftop.commands.delivered import Delivered
from ebpftop.commands.whole_lines import LineWriter
from ebpftop.core.load_records import ProgramRuns
from ebpftop.core.records import Lost
from tests.unit.recording_samples import HEADER, START, exec_at


def test_records_losses_and_what_was_not_written_are_said() -> None:
    delivered = Delivered()
    delivered.note([HEADER, exec_at(START, 7), exec_at(START, 8)])
    assert delivered.written_text(2) == "after 2 records"
    assert delivered.written_text(1) == "after 1 record, 1 more was not written"
    lost = [Lost(time=START, probe="execs", where="ring", count=count) for count in (3, 1200)]
    delivered.note([*lost, Lost(time=START, probe="load", where="ring", count=5)])
    assert delivered.lost_text() == "; 1,200 execs lost (ring); 5 load lost (ring)"
    delivered.note([ProgramRuns(time=START), ProgramRuns(time=START, own_events=886, excluded_events=1)])
    assert delivered.lost_text().endswith("5 load lost (ring); events hidden: 886 ebpftop's own, 1 by the filter")
    assert delivered.written_text(2).startswith("after 2 records, 5 more were not written; 1,200 execs lost")


def test_only_whole_lines_count_as_written() -> None:
    reading_fd, writing_fd = os.pipe()
    writer = LineWriter(writing_fd)
    writer.write([b"a\n", b"b" * 5000 + b"\n", b"c\n"])
    assert writer.written == 3
    assert os.read(reading_fd, 1 << 16).count(b"\n") == 3
    os.close(reading_fd)
    os.close(writing_fd)


def test_a_reader_that_took_the_header_alone_has_got_that() -> None:
    delivered = Delivered()
    assert delivered.written_text(0, header=True) == "after the header"
    delivered.note([HEADER, exec_at(START, 1), exec_at(START, 2)])
    assert delivered.written_text(0, header=True) == "after the header, 2 records were not written"
    assert delivered.written_text(1, header=True) == "after 1 record, 1 more was not written"
    assert delivered.written_text(0) == "after 0 records, 2 more were not written"
