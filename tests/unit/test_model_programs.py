"""eBPF programs: rates over the times of readings, whatever happens to counters, ids and clocks."""

from __future__ import annotations

import pytest

from ebpftop.core.program_records import ProgramMap, ProgramOwner, ProgramRow, Programs, ProgramTotals
from ebpftop.core.records import Probe
from ebpftop.core.source import Batch
from ebpftop.filters.spec import Filter
from ebpftop.models.bpf_fields import BPF_PROGRAMS
from ebpftop.models.copy_as import command_lines
from ebpftop.models.held import Held
from ebpftop.models.programs import KEPT, NEWS_S, Program, ProgramsModel, Rates, is_new
from ebpftop.models.subject import subject_of_bpf
from ebpftop.models.watch import compile_watch
from ebpftop.models.watch_choices import watch_choices
from ebpftop.ui.panes.bpf_details import bpf_sheet


def row(number: int, runs: int = 0, run_ns: int = 0, **more: object) -> ProgramRow:
    fields: dict[str, object] = {
        **{"id": number, "type": "kprobe", "name": f"p{number}", "tag": "c0ffee", "uid": 0, "loaded": 50.0},
        **{"runs": runs, "run_ns": run_ns},
        **more,
    }
    return ProgramRow(**fields)  # type: ignore[arg-type]  # of any field


def read(
    model: ProgramsModel,
    time: float,
    *rows: ProgramRow,
    machine: ProgramTotals | None = None,
    stats: str | None = "enabled",
    maps: tuple[ProgramMap, ...] = (),
) -> None:
    whole = machine or ProgramTotals(
        programs=len(rows),
        map_bytes=0,
        runs=sum(one.runs for one in rows),
        run_ns=sum(one.run_ns for one in rows),
        misses=sum(one.misses for one in rows),
    )
    model.feed(Batch("programs", time, (Programs(time=time, rows=rows, machine=whole, stats=stats, maps=maps),)))


def detached(model: ProgramsModel, time: float) -> None:
    state = Probe(time=time, probe="programs", state="off", via=None, reason=None)
    model.feed(Batch("programs", time, (state,)))


def found(model: ProgramsModel, number: int) -> Program:
    program = model.find(number)
    assert program is not None
    return program


def test_rates_are_over_the_time_between_two_readings() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 1000, 50_000, misses=3))
    assert found(model, 7).rates is None
    assert model.shares is None
    read(model, 102.0, row(7, 1400, 450_000, misses=5))
    rates = found(model, 7).rates
    assert rates == Rates(200.0, 0.0002, 1.0)
    assert rates.ns_per_run == pytest.approx(1000)


def test_a_program_that_did_not_run_has_no_time_of_a_run() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 10, 500))
    read(model, 101.0, row(7, 10, 500))
    assert found(model, 7).rates == Rates(0.0, 0.0, 0.0)
    assert Rates(0.0, 0.0, 0.0).ns_per_run is None


def test_two_readings_of_one_time_divide_by_nothing_and_lose_nothing() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7))
    read(model, 100.0, row(7, 30, 30))
    assert found(model, 7).rates is None
    read(model, 101.0, row(7, 90, 90))
    rates = found(model, 7).rates
    assert rates is not None
    assert rates.runs == 90


def test_counters_that_began_again_are_all_new() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 1_000_000, 5_000_000))
    read(model, 101.0, row(7, 20, 400))
    assert found(model, 7).rates == Rates(20.0, 400e-9, 0.0)


def test_a_clock_that_was_set_back_gives_no_rate() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 10))
    read(model, 40.0, row(7, 20))
    assert found(model, 7).rates is None
    read(model, 41.0, row(7, 50))
    assert [rates.runs for rates in found(model, 7).usage.history] == [30.0]


def test_while_the_probe_was_detached_nothing_is_known() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 10))
    read(model, 101.0, row(7, 20))
    detached(model, 101.5)
    assert found(model, 7).rates is None
    assert model.shares is None
    read(model, 500.0, row(7, 30), row(9, 5))
    assert found(model, 7).rates is None
    assert not is_new(found(model, 9), 500.0), "it may have been there for long"
    read(model, 501.0, row(7, 70), row(9, 5))
    assert [rates.runs for rates in found(model, 7).usage.history] == [40.0]


def test_a_program_that_comes_is_new_for_a_while_and_its_first_runs_count() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7))
    assert not is_new(found(model, 7), 100.0), "nobody knows since when"
    read(model, 102.0, row(7), row(9, 50, 5000))
    new = found(model, 9)
    assert new.rates == Rates(25.0, 2500e-9, 0.0)
    assert is_new(new, 102.0)
    assert is_new(new, 102.0 + NEWS_S - 1)
    assert not is_new(new, 102.0 + NEWS_S)


def test_a_program_that_goes_is_seen_for_a_while_at_rest() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7), row(9))
    read(model, 101.0, row(7, 5), row(9, 500))
    read(model, 102.0, row(7, 9))
    gone = found(model, 9)
    assert gone.gone == 102.0
    assert gone.rates == Rates(0.0, 0.0, 0.0)
    assert [program.id for program in model.programs] == [7, 9]
    read(model, 102.0 + NEWS_S, row(7, 9))
    assert model.find(9) is None


def test_an_id_that_stands_for_another_program_begins_again() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 1000, tag="aaaa"))
    read(model, 101.0, row(7, 1010, tag="bbbb"))
    rates = found(model, 7).rates
    assert rates is not None
    assert rates.runs == 1010
    assert found(model, 7).came == 101.0


def test_without_statistics_nothing_is_known_of_runs() -> None:
    model = ProgramsModel()
    read(model, 100.0, row(7, 1))
    read(model, 101.0, row(7, 2))
    read(model, 102.0, row(7, 2), stats=None)
    read(model, 103.0, row(7, 2), stats=None)
    assert not model.counts_runs
    assert found(model, 7).rates is None
    assert model.shares is None


def test_the_total_has_what_is_gone_and_maps_once() -> None:
    model = ProgramsModel()
    shared = ProgramMap(id=1, type="hash", name="m", entries=1, bytes=4096)
    first = ProgramTotals(programs=3, map_bytes=4096)
    read(model, 100.0, row(7, own=True, maps=(1,), map_bytes=4096), row(9, maps=(1,), map_bytes=4096), machine=first)
    then = ProgramTotals(programs=2, map_bytes=4096, runs=300, run_ns=300_000, misses=6)
    read(model, 101.0, row(7, 100, 100_000, misses=2, own=True, maps=(1,)), machine=then, maps=(shared,))
    shares = model.shares
    assert shares is not None
    assert shares.all == Rates(300.0, 0.0003, 6.0)
    assert shares.own == Rates(100.0, 0.0001, 2.0)
    assert shares.others.runs == 200.0
    assert shares.others.cpu == pytest.approx(0.0002)
    assert model.latest is not None
    assert model.latest.machine.map_bytes == 4096
    assert model.maps_of(found(model, 7).row) == [shared]
    assert [program.id for program in model.users_of(1)] == [7, 9]


def test_what_is_kept_is_bounded() -> None:
    model = ProgramsModel()
    for second in range(3 * KEPT):
        read(model, 100.0 + second, row(7, second), row(1000 + second))
    assert len(found(model, 7).usage.history) == KEPT
    assert len(model.programs) <= 2 + NEWS_S


def matched(text: str, *rows: ProgramRow) -> list[int]:
    model = ProgramsModel()
    read(model, 100.0)
    read(model, 101.0, *rows)
    query = BPF_PROGRAMS.parse(text)
    assert query is not None
    return [program.id for program in model.programs if query.matches(program, 101.0)]


SOME = (
    row(7, 1000, 2_000_000, owners=(ProgramOwner(pid=812, comm="bpftrace"),), attached=("sys_enter",), insns=5000),
    row(9, 10, 900, own=True, type="cgroup_skb", map_bytes=2_000_000, misses=1),
    row(11, name="sd_fw", attached=("/system.slice", "/user.slice"), uid=1000, loaded=1.0),
)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        *(("by:bpftrace", [7]), ("by:812", [7]), ("own:yes", [9]), ("type:cgroup_*", [9]), ("id:11", [11])),
        *(("runs:>500", [7]), ("cpu:>0.1%", [7]), ("ns:>1k", [7]), ("ns:<1k", [9]), ("misses:>0", [9])),
        *(("maps:>1M", [9]), ("insns:>1k", [7]), ("attached:/user*", [11]), ("loaded:>60s", [11]), ("uid:1000", [11])),
        *(("state:new", [7, 9, 11]), ("sd_fw", [11]), ("^p", [7, 9]), ("!own:no", [9]), ("user.slice", [11])),
    ],
)
def test_fields_filter(text: str, ids: list[int]) -> None:
    assert matched(text, *SOME) == ids


def test_its_sheet_says_what_is_known_and_what_is_not() -> None:
    model = ProgramsModel()
    maps = (ProgramMap(id=1, type="hash", name="starts", entries=10, bytes=4096),)
    rows = (row(7, maps=(1, 2), map_bytes=4096), row(9, maps=(1,)))
    read(model, 100.0, *rows, maps=maps)
    read(model, 101.0, row(7, 100, 78_000, maps=(1, 2), map_bytes=4096), rows[1], maps=maps)
    program = found(model, 7)
    text = bpf_sheet(model, program, 101.0).content().plain
    for words in ("100/s", "0.01%", "780ns", "no process: it is pinned", "also used by p9", "4.10 kB"):
        assert words in text
    read(model, 102.0, rows[1], stats=None)
    read(model, 202.0, rows[1], stats=None)
    assert model.find(7) is None
    text = bpf_sheet(model, program, 202.0).content().plain
    assert "it is not loaded any more" in text
    assert "the kernel does not count them" in text


def test_command_lines_name_the_program_by_its_id_alone() -> None:
    hostile = row(7, name="x'; reboot; '", owners=(ProgramOwner(pid=812, comm="$(reboot)"),))
    lines = [line.text for line in command_lines(subject_of_bpf(hostile, 100.0), Filter())]
    assert lines[0] == "sudo bpftool prog show id 7"
    assert not any("reboot" in line for line in lines)


def test_what_can_be_watched_for_compiles_and_matches() -> None:
    subject = subject_of_bpf(row(7, name='"quoted\\'), 100.0)
    left_out, unloaded, there = (compile_watch(choice.expression) for choice in watch_choices(subject))
    machine = ProgramTotals(programs=1, map_bytes=0)
    present = Programs(time=1.0, rows=(row(7, name='"quoted\\', misses=1),), machine=machine)
    absent = Programs(time=1.0, rows=(row(9),), machine=machine)
    assert [watch.tests[Programs](present) for watch in (left_out, unloaded, there)] == [True, False, True]
    assert [watch.tests[Programs](absent) for watch in (left_out, unloaded, there)] == [False, True, False]


def test_what_was_held_while_the_screen_was_frozen_says_that_the_probe_was_detached() -> None:
    model, held = ProgramsModel(), Held[str]()
    read(model, 100.0, row(7, 10))
    off = Probe(time=101.0, probe="programs", state="off", via=None, reason=None)
    machine = ProgramTotals(programs=1, map_bytes=0)
    last = Programs(time=101.0, rows=(row(7, 20),), machine=machine, stats="enabled")
    later = Programs(time=500.0, rows=(row(7, 30),), machine=machine, stats="enabled")
    assert list(held.put("programs", Batch("programs", 101.0, (last, off)))) == []
    assert list(held.put("programs", Batch("programs", 500.0, (later,)))) == []
    for _, batch in held.take(100):
        model.feed(batch)
    assert found(model, 7).rates is None
