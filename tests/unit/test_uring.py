"""io_uring's operations: their names, what the pane says of them, what a recording may hold of them."""

from __future__ import annotations

import pytest

from ebpftop.core.record_lines import encode
from ebpftop.core.source import Batch
from ebpftop.core.syscall_records import Syscalls
from ebpftop.models.syscalls import SyscallsModel
from ebpftop.recording.parse import read_line
from ebpftop.syscalls.uring import operation
from ebpftop.ui.panes.syscall_notes import uring


@pytest.mark.parametrize(
    ("opcode", "name"), [(0, "nop"), (1, "readv"), (22, "read"), (40, "msg_ring"), (255, "op_255")]
)
def test_an_opcode_has_the_name_of_the_kernels_header(opcode: int, name: str) -> None:
    assert operation(opcode) == name


def test_the_pane_says_what_was_done_since_totals_began_the_busiest_first() -> None:
    model = SyscallsModel()
    for time, counts in ((1.0, {"nop": 5, "read": 1}), (2.0, {"nop": 7, "read": 9, "send": 1})):
        model.feed(Batch("syscalls", time, (Syscalls(time=time, rows=(), io_uring=counts),)))
    said = "".join(span.text for span in uring(model.io_uring))
    assert said == "  io_uring read 9 nop 7 send 1"
    assert uring({}) == []


@pytest.mark.parametrize("counts", [{"nop": -1}, {"x" * 20_000: 1}, {f"op_{i}": 1 for i in range(300)}])
def test_a_recording_with_impossible_operations_is_damaged(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r">= 0|longer|length <= 256"):
        read_line(encode(Syscalls(time=1.0, rows=(), io_uring=counts)))
