"""The exercises of the lesson: what is done, what is not yet, and why, from records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from ebpftop.core.load_records import (
    BpfEvent,
    Code,
    CodeLine,
    Diagnostic,
    Field,
    Loaded,
    LoadedMap,
    LoadedProgram,
    MapReading,
    MapRow,
    ProgramRun,
    ProgramRuns,
    Value,
)
from ebpftop.core.records import Record
from ebpftop.core.source import Batch
from ebpftop.core.trace_records import PrintingProgram, Trace
from ebpftop.models.exercises import EXERCISES, LESSONS, of_lesson
from ebpftop.models.lesson import Lesson, summary
from ebpftop.models.lesson_source import functions, lesson_of
from ebpftop.models.load import LoadModel

CHECKOUT = Path(__file__).parents[2]
LESSON_FILES = CHECKOUT / "bpf" / "lesson"
SOLUTIONS = CHECKOUT / "tests" / "kernel" / "lesson_solutions"
NOW = 1_700_000_000.0

U32 = Field(type="u32", kind="uint", size=4)
U64 = Field(type="u64", kind="uint", size=8)
TEXT = Field(type="char[16]", kind="string", size=16)


def lesson_file(number: int) -> str:
    return (LESSON_FILES / LESSONS[number - 1].file).read_text()


def solution(name: str) -> str:
    return (SOLUTIONS / f"{name}.c").read_text()


def loaded(source: str, *maps: LoadedMap, programs: Sequence[str] = ("hello",), generation: int = 1) -> Loaded:
    return Loaded(
        time=NOW,
        file="lesson.c",
        path="/home/ann/lesson.c",
        state="on",
        generation=generation,
        source=tuple(source.splitlines()),
        programs=tuple(LoadedProgram(name=name, type="kprobe", id=7, insns=12) for name in programs),
        maps=maps,
    )


def failed(source: str, *log: str, line: int | None = None) -> Loaded:
    problem = Diagnostic(stage="verifier", message="the verifier refused it", log=log, line=line)
    return Loaded(
        time=NOW,
        file="lesson.c",
        path="/home/ann/lesson.c",
        state="failed",
        source=tuple(source.splitlines()),
        diagnostics=(problem,),
    )


def reading(name: str, type: str, *rows: tuple[Value, Value]) -> MapReading:
    return MapReading(
        time=NOW,
        map=name,
        type=type,
        rows=tuple(MapRow(id=f"{at:08x}", key=key, value=value) for at, (key, value) in enumerate(rows)),
        entries=len(rows),
    )


def line(message: str, pid: int = 812, program: str = "hello") -> Trace:
    of = PrintingProgram(id=7, name=program)
    return Trace(time=NOW, cpu=0, pid=pid, tid=pid, task="bash", message=message, program=of)


def event(uid: int, message: str, map: str = "output") -> BpfEvent:
    return BpfEvent(time=NOW, map=map, uid=uid, fields={"pid": 812, "uid": uid, "message": message})


def verdict(name: str, *records: Record) -> str:
    """What the check of an exercise says of *records*: as text, after "done: " or "not yet: "."""
    lesson = Lesson()
    for record in records:
        lesson.add(record)
    found = next(task.verdict for task in lesson.tasks if task.exercise.name == name)
    return f"{'done' if found.is_done else 'not yet'}: {found.because}"


def test_each_lesson_has_a_file_that_says_which_it_is_and_exercises() -> None:
    assert [lesson_of(lesson_file(row.number)) for row in LESSONS] == [1, 2, 3, 4]
    assert all(of_lesson(row.number) for row in LESSONS)
    assert len(EXERCISES) >= 6


def test_each_exercise_has_a_solution_of_its_lesson() -> None:
    for exercise in EXERCISES:
        assert lesson_of(solution(exercise.name)) == exercise.lesson


def test_a_file_that_is_no_lesson_has_no_exercises() -> None:
    lesson = Lesson()
    lesson.add(loaded("int hello(void *ctx) { return 0; }"))
    assert (lesson.row, lesson.tasks) == (None, ())


def test_lines_of_programs_of_others_are_not_of_the_file() -> None:
    model = LoadModel()
    model.feed(Batch("trace", NOW, (line("Hello 812", program="hello_of_ben"),)))
    model.feed(Batch("load", NOW, (loaded(lesson_file(1)),)))
    assert "no line yet" in model.lesson.tasks[0].verdict.because
    assert summary(model.lesson.tasks) == "0 of 2 done"


def test_a_line_that_came_before_it_was_known_what_is_loaded_counts() -> None:
    model = LoadModel()
    model.feed(Batch("trace", NOW, (line("Hello 812"),)))
    model.feed(Batch("load", NOW, (loaded(solution("who")),)))
    assert model.lesson.tasks[0].verdict.is_done


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("who", ()),
        ("inline", ()),
        ("failed", (LoadedMap(name="counter_table", type="hash", key=U64, value=U64),)),
        ("config", (LoadedMap(name="output", type="perf_event_array"),)),
        ("ring", (LoadedMap(name="output", type="perf_event_array"),)),
        ("openat", (LoadedMap(name="syscalls", type="prog_array"), LoadedMap(name="others", type="hash"))),
        ("chain", (LoadedMap(name="syscalls", type="prog_array"), LoadedMap(name="others", type="hash"))),
    ],
)
def test_the_lesson_as_it_ships_has_no_exercise_done(name: str, maps: tuple[LoadedMap, ...]) -> None:
    number = next(item.lesson for item in EXERCISES if item.name == name)
    records = (
        loaded(lesson_file(number), *maps),
        line("Hello World!"),
        line("Executing a program", program="hello_exec"),
        event(1000, "Hello World!"),
        reading("counter_table", "hash", (1000, 33)),
        reading("others", "hash", (1, 33), (2, 34)),
        reading("syscalls", "prog_array", (59, "hello_exec"), (24, "ignore")),
    )
    assert verdict(name, *records).startswith("not yet: ")


def test_a_file_that_does_not_load_is_not_done_whatever_ran_before() -> None:
    good = loaded(solution("who"))
    assert verdict("who", good, line("Hello, process 812!")).startswith("done: ")
    assert verdict("who", good, line("Hello, process 812!"), failed(solution("who"), line=8)) == (
        "not yet: what was saved last does not load: see line 8"
    )


def test_what_was_done_stays_done_while_the_last_good_program_runs_on() -> None:
    """A save that does not load takes nothing away: what ran before it still runs."""
    good, done = loaded(solution("who")), line("Hello, process 812!")
    refused = failed("int hello(void *ctx) { return nothing; }", line=1)
    runs_on = replace(refused, generation=1, programs=good.programs, running=good.source)
    assert verdict("who", good, done, runs_on) == verdict("who", good, done)
    assert verdict("who", good, runs_on, done).startswith("done: ")
    assert verdict("who", good, runs_on) == "not yet: what was saved last does not load: see line 1"
    inlined = solution("inline")
    code = Code(time=NOW, program="hello", xlated=(CodeLine(at=0, text="r0 = 0"),))
    called = replace(failed(solution("inline_called"), "last insn is not an exit or jmp"), generation=1)
    ran = loaded(inlined)
    assert verdict("inline", ran, code).startswith("done: ")
    still = replace(called, programs=ran.programs, running=ran.source)
    assert verdict("inline", ran, code, still).startswith("done: ")
    first = loaded(lesson_file(1))
    assert "the call leads out of them" in verdict(
        "inline", first, replace(called, programs=first.programs, running=first.source)
    )


def test_a_lesson_whose_comment_was_lost_in_a_failed_save_is_still_that_lesson() -> None:
    lesson = Lesson()
    good = loaded(lesson_file(1))
    lesson.add(good)
    lesson.add(replace(failed("int hello() {"), programs=good.programs, running=good.source))
    assert lesson.row == LESSONS[0]


# ---- Lesson 1 ----


def test_a_line_says_who_if_it_has_the_pid_it_came_from() -> None:
    file = loaded(solution("who"))
    assert verdict("who", file) == "not yet: no line yet: start a program in another terminal, as ls"
    assert verdict("who", file, line("Hello 8123", 812)).startswith("not yet: the line “Hello 8123” came from pid 812")
    assert verdict("who", file, line("Hello 812!", 812)) == "done: “Hello 812!” came from pid 812"
    assert verdict("who", file, line("Hello 812!", 812), line("Hello 812!", 813)).startswith("not yet: ")


def test_lines_of_the_file_before_say_nothing_of_this_one() -> None:
    again = loaded(lesson_file(1), generation=2)
    assert verdict("who", loaded(solution("who")), line("Hello 812", 812), again).startswith("not yet: no line yet")


def test_a_function_that_is_called_does_not_load_and_the_reason_is_named() -> None:
    called = solution("inline_called")
    refused = failed(called, "last insn is not an exit or jmp")
    assert "the call leads out of them" in verdict("inline", refused)
    assert "it is not static" in verdict("inline", failed(called, "error: cannot call non-static helper function"))


def test_a_function_that_became_part_of_the_program_is_done() -> None:
    code = Code(time=NOW, program="hello", xlated=(CodeLine(at=0, text="r0 = 0", function="hello"),))
    assert verdict("inline", loaded(solution("inline")), code) == (
        "done: greet became part of hello, whose 12 instructions have no call of it"
    )
    behind = Code(time=NOW, program="hello", xlated=(*code.xlated, CodeLine(at=1, text="r0 = 0", function="greet")))
    assert verdict("inline", loaded(solution("inline")), behind).startswith("not yet: greet is called")
    unused = solution("inline").replace("greet(bpf", "(bpf")
    assert verdict("inline", loaded(unused)) == "not yet: no program uses greet"


# ---- Lesson 2 ----


def outcome_map(*members: str) -> LoadedMap:
    fields = tuple(Field(name=name, type="u32", kind="uint", size=4) for name in members)
    key = Field(type="struct outcome", kind="struct", size=8, fields=fields)
    return LoadedMap(name="counter_table", type="hash", key=key, value=U64)


def test_failures_are_counted_apart_if_both_kinds_were_counted() -> None:
    file = loaded(solution("failed"), outcome_map("uid", "failed"))
    started = ({"uid": 1000, "failed": 0}, 27)
    missing = ({"uid": 1000, "failed": 1}, 3)

    assert verdict("failed", loaded(lesson_file(2), outcome_map("uid", "pid"))).startswith(
        "not yet: the key of counter_table needs"
    )
    assert "has counted nothing" in verdict("failed", file)
    assert "no failure was counted" in verdict("failed", file, reading("counter_table", "hash", started))
    assert "only failures were counted" in verdict("failed", file, reading("counter_table", "hash", missing))
    both = reading("counter_table", "hash", started, missing)
    assert verdict("failed", file, both) == "done: uid 1000: 27 started, 3 failed"


def test_a_program_at_the_entry_counts_what_fails_as_started_and_is_not_done() -> None:
    source = solution("failed") + "int hello(void *ctx) { counter_table.increment(key); }"
    file = loaded(source, outcome_map("uid", "failed"))
    at_entry = replace(file, programs=(replace(file.programs[0], event="syscall:execve"),))
    both = reading("counter_table", "hash", ({"uid": 0, "failed": 0}, 266), ({"uid": 0, "failed": 1}, 211))
    assert verdict("failed", file, both) == "done: uid 0: 266 started, 211 failed"
    assert verdict("failed", at_entry, both).startswith("not yet: hello counts when the call begins")


# ---- Lesson 3 ----


CONFIG = LoadedMap(
    name="config",
    type="hash",
    key=U32,
    value=Field(
        type="struct text",
        kind="struct",
        size=16,
        fields=(Field(name="text", type="char[16]", kind="string", size=16),),
    ),
)
OUTPUT = LoadedMap(name="output", type="perf_event_array")


def test_a_message_is_configured_if_the_uid_of_the_map_gets_it_and_no_other() -> None:
    file = loaded(solution("config"), OUTPUT, CONFIG)
    written = reading("config", "hash", (1000, {"text": "Hi Ann"}))
    ours, others = event(1000, "Hi Ann"), event(0, "Hello World!")

    assert "config is empty" in verdict("config", file)
    assert "no event of uid 1000 yet" in verdict("config", file, written, others)
    assert "says “Hello World!”, and the map “Hi Ann”" in verdict("config", file, written, event(1000, "Hello World!"))
    assert "what do others get" in verdict("config", file, written, ours)
    assert "every uid gets" in verdict("config", file, written, ours, event(0, "Hi Ann"))
    assert verdict("config", file, written, ours, others) == "done: uid 1000 gets “Hi Ann”, others another message"


RING = LoadedMap(name="output", type="ringbuf")
DROPPED = LoadedMap(name="dropped", type="array", key=U32, value=U64)


def test_a_ring_drops_and_counts_it() -> None:
    file = loaded(solution("ring"), RING, DROPPED)
    came = event(1000, "Hello World!")
    counted = reading("dropped", "array", (0, 40))

    assert "nothing came through output" in verdict("ring", file, counted)
    assert "no map counts" in verdict("ring", loaded(solution("ring"), RING), came)
    assert "dropped is 0" in verdict("ring", file, came, reading("dropped", "array", (0, 0)))
    assert verdict("ring", file, came, counted) == "done: 40 events found no room, and dropped says so"


def test_a_counter_of_every_run_does_not_count_what_was_dropped() -> None:
    file = loaded(solution("ring"), RING, DROPPED)
    runs = ProgramRuns(time=NOW, rows=(ProgramRun(program="hello", runs=40),))
    counted = reading("dropped", "array", (0, 40))
    assert "counts every run" in verdict("ring", file, event(1000, "Hello"), counted, runs)


# ---- Lesson 4 ----


SYSCALLS = LoadedMap(name="syscalls", type="prog_array", key=U32)


@pytest.mark.parametrize(("arch", "number"), [("x86_64", 257), ("aarch64", 56)])
def test_the_slot_of_openat_is_found_by_its_number_on_that_machine(arch: str, number: int) -> None:
    file = loaded(solution("openat"), SYSCALLS, programs=("hello", "hello_openat"))
    code = Code(time=NOW, program="hello", arch=arch)
    wrong = reading("syscalls", "prog_array", (257 + 56 - number, "hello_openat"))
    right = reading("syscalls", "prog_array", (number, "hello_openat"))
    prints = line("Opening a file", program="hello_openat")

    assert verdict("openat", file, code, wrong, prints) == f"not yet: slot {number} (openat) of syscalls is empty"
    assert "has printed nothing yet" in verdict("openat", file, code, right)
    assert "has printed nothing yet" in verdict("openat", file, code, right, line("Hello", program="hello"))
    assert verdict("openat", file, code, right, prints) == (
        f"done: hello_openat is in slot {number} (openat), and prints"
    )


def test_the_table_that_is_meant_is_the_one_with_a_slot_for_each_call() -> None:
    tables = LoadedMap(name="chain", type="prog_array", max_entries=1), replace(SYSCALLS, max_entries=512)
    file = loaded(solution("openat"), *tables, programs=("hello", "hello_openat"))
    code = Code(time=NOW, program="hello", arch="x86_64")
    assert verdict("openat", file, code) == "not yet: slot 257 (openat) of syscalls is empty"


def test_a_chain_that_nothing_began_says_which_call_begins_it() -> None:
    source = "int loopy(void *ctx) { depth.increment(0); syscalls.call(ctx, 110); return 0; }"
    file = loaded(f"// ebpftop: lesson 4\n{source}", SYSCALLS, DEPTH, programs=("hello", "loopy"))
    slot = MapRow(id="01", key=110, value="loopy", names={"key": "getppid"})
    slots = MapReading(time=NOW, map="syscalls", type="prog_array", rows=(slot,))
    without = loaded(file.source[0] + "\n" + source.replace("depth.increment(0); ", ""), SYSCALLS, programs=("loopy",))
    assert "now count in an array" in verdict("chain", without, slots)
    assert verdict("chain", file, slots) == ("not yet: depth is 0, nothing has run loopy yet: make the call getppid")


DEPTH = LoadedMap(name="depth", type="percpu_array", key=U32, value=U64, per_cpu=True)


def test_a_chain_ends_after_33_tail_calls() -> None:
    maps = SYSCALLS, LoadedMap(name="chain", type="prog_array", key=U32), DEPTH
    file = loaded(solution("chain"), *maps, programs=("hello", "hello_exec"))
    slots = reading("chain", "prog_array", (0, "hello_exec"))

    def depth(*cpus: int) -> MapReading:
        row = MapRow(id="01", key=1, value=sum(cpus), cpus=cpus)
        return MapReading(time=NOW, map="depth", type="percpu_array", rows=(row,))

    assert "no program in a slot makes a tail call itself" in verdict("chain", file, depth(33, 33))
    assert "depth is 0, nothing has run hello_exec yet" in verdict("chain", file, slots)
    assert "the longest chain so far has 4" in verdict("chain", file, slots, depth(4, 3))
    assert "call that leads into hello_exec is not counted" in verdict("chain", file, slots, depth(32, 3))
    assert "set it to 0 where a chain begins" in verdict("chain", file, slots, depth(99, 0))
    assert verdict("chain", file, slots, depth(33, 0)).startswith(
        "done: 33 tail calls of hello_exec in depth on one CPU"
    )
    assert verdict("chain", file, slots, depth(34, 0)).startswith("done: 34 programs ran")

    def lengths(*of: int) -> MapReading:
        rows = tuple(MapRow(id=f"{key:02x}", key=key, value=349) for key in of)
        return MapReading(time=NOW, map="depth", type="percpu_array", rows=rows)

    assert verdict("chain", file, slots, lengths(2, 33)).startswith("done: 33 tail calls of hello_exec in depth")
    assert verdict("chain", file, slots, lengths(33, 60)).startswith("not yet")


# ---- The text of a file ----


def test_functions_are_found_in_c_as_people_write_it() -> None:
    source = """
    /* int hidden(void) { } */
    #define TWICE(x) ((x) * 2)
    struct key { u32 uid; };
    struct key none = { .uid = 0 };
    BPF_HASH(counter, struct key, u64);
    static __attribute__((noinline)) int greet(u32 pid) { return pid == '{'; }
    TRACEPOINT_PROBE(syscalls, sys_exit_execve) { return greet(1); } // }
    int hello(struct pt_regs *ctx, const char *path)
    {
        bpf_trace_printk("} // not the end");
        if (path) { return 1; }
        return 0;
    }
    """
    found = functions(source)
    assert set(found) == {"greet", "hello"}
    assert found["hello"].strip().startswith("bpf_trace_printk")
    assert found["hello"].strip().endswith("return 0;")


@pytest.mark.parametrize("source", ["", "}", "{", "/*", '"', "((((", "int f(int a) {" * 9, "// ebpftop: lesson 5"])
def test_a_text_that_is_not_c_has_no_functions_and_is_no_lesson(source: str) -> None:
    assert (dict(functions(source)), lesson_of(source)) == ({}, None)
