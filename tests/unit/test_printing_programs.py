"""Which program printed: the place where the calls lead back to, in the programs that the kernel has now."""

from __future__ import annotations

import pytest

from ebpftop.kernel import clocks
from ebpftop.kernel.bpf_programs import CODES_MAX, Code, Listing
from ebpftop.probes import printing_programs
from ebpftop.probes.printing_programs import UNKNOWN, PrintingPrograms

NOW_NS = clocks.monotonic_ns()
OURS, KERNEL = 0x900, 0x7F0000


class Kernel:
    """Lists programs, and counts how often it was asked."""

    def __init__(self, *codes: Code) -> None:
        self.codes = list(codes)
        self.asked = 0
        self.refuses = False

    def newer(self, than: int) -> Listing:
        self.asked += 1
        if self.refuses:
            raise PermissionError
        codes = [code for code in self.codes if code.program_id > than][:CODES_MAX]
        return Listing(codes[-1].program_id if codes else than, codes)


def code(start: int, program_id: int, name: str = "x", length: int = 0x80, loaded_ns: int = 0) -> Code:
    return Code(start, length, program_id, loaded_ns, name.encode())


def found(programs: PrintingPrograms, at: int, time_ns: int = NOW_NS) -> str | None:
    """Return who printed, in a new round, if the calls lead back to *at* through our own program and the kernel."""
    programs.begin()
    program = programs.program(programs.find((OURS + 9, KERNEL, KERNEL + 9, at, KERNEL), time_ns))
    return None if program is None else str(program)


def test_the_innermost_program_but_ours_is_the_one_that_printed() -> None:
    kernel = Kernel(code(OURS, 1, "on_trace_printk"), code(0x100, 5, "biolat"), code(0x200, 6, "other"))
    programs = PrintingPrograms(kernel.newer)
    assert [found(programs, at) for at in (0x101, 0x17F, 0x180, 0x181, 0xFF)] == [
        "biolat #5",
        "biolat #5",
        "biolat #5",  # a return address right behind a call at the very end
        None,
        None,
    ]
    programs.begin()
    assert programs.find((OURS + 9, KERNEL, 0x210, 0x110), NOW_NS) == 6
    assert programs.find((OURS + 9, 0, 0, 0, 0), NOW_NS) == UNKNOWN


def test_a_place_that_another_program_has_now_says_nothing_of_lines_before_it() -> None:
    kernel = Kernel(code(OURS, 1), code(0x100, 5, "first"), code(0x180, 6, "second"))
    programs = PrintingPrograms(kernel.newer)
    assert found(programs, 0x110) == "first #5"
    loaded_ns = clocks.since_boot_ns()
    kernel.codes = [code(OURS, 1), code(0x140, 9, "third", 0x90, loaded_ns)]
    programs.refresh()
    programs.begin()
    programs.refresh()
    assert found(programs, 0x150, NOW_NS) is None
    assert found(programs, 0x150, clocks.monotonic_ns()) == "third #9"
    assert found(programs, 0x1A0, clocks.monotonic_ns()) == "third #9"
    assert found(programs, 0x110, clocks.monotonic_ns()) is None


def test_the_kernel_is_asked_once_in_a_round_and_not_for_our_own() -> None:
    kernel = Kernel(code(OURS, 1), code(0x100, 2, "ebpftop_hello_k"))
    programs = PrintingPrograms(kernel.newer)
    programs.own = frozenset((1, 2))
    programs.refresh()
    assert programs.knows_own
    assert kernel.asked == 1
    assert [found(programs, 0x110) for _ in range(50)] == ["ebpftop_hello_k #2"] * 50
    assert kernel.asked == 1
    programs.begin()
    for _ in range(50):
        programs.find((OURS, 0x5000), NOW_NS)
    assert kernel.asked == 2


def test_more_programs_than_one_listing_has_are_all_found() -> None:
    kernel = Kernel(*(code(0x1000 + 0x100 * i, i + 1) for i in range(CODES_MAX + 5)))
    programs = PrintingPrograms(kernel.newer)
    assert found(programs, 0x1000 + 0x100 * (CODES_MAX + 4)) == f"x #{CODES_MAX + 5}"


def test_a_kernel_that_tells_nothing_leaves_it_unknown() -> None:
    kernel = Kernel(code(OURS, 1))
    kernel.refuses = True
    programs = PrintingPrograms(kernel.newer)
    programs.own = frozenset((1,))
    assert found(programs, 0x110) is None
    assert not programs.knows_own


def test_names_of_programs_that_came_and_went_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing_programs, "NAMED_MAX", 8)
    kernel = Kernel(code(OURS, 1))
    programs = PrintingPrograms(kernel.newer)
    for number in range(2, 50):
        kernel.codes = [code(OURS, 1), code(0x100, number, f"p{number}")]
        programs.begin()
        programs.refresh()
    assert found(programs, 0x110) == "p49 #49"
    assert programs.program(2) is None
    assert programs.program(1) is not None
