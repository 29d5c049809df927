"""The exercises of the lesson: what is to be done, a hint, and the check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ebpftop.models import exercise_checks as checks
from ebpftop.models.exercise_checks import Verdict
from ebpftop.models.lesson_evidence import Evidence


@dataclass(frozen=True, slots=True)
class Exercise:
    """An exercise of lesson *lesson*: its name, and in a few words; what is to be done; how to begin; its check."""

    lesson: int
    name: str
    title: str
    task: str
    hint: str
    check: Callable[[Evidence], Verdict]


@dataclass(frozen=True, slots=True)
class LessonRow:
    """A lesson: its number, its name, what it is about, and the file in bpf/ that is its program, grown up."""

    number: int
    name: str
    about: str
    grown_up: str

    @property
    def file(self) -> str:
        """Its file in bpf/lesson."""
        return f"{self.number}-{self.name}.c"

    @property
    def recording(self) -> str:
        """The recording of it that ships with ebpftop."""
        return f"{self.number}-{self.name}.jsonl.zst"

    @property
    def text(self) -> str:
        """Its page in docs/lesson."""
        return f"{self.number}-{self.name}.md"


LESSONS = (
    LessonRow(1, "hello", "a program that prints a line at each execve", "trace.c"),
    LessonRow(2, "counter", "a hash map that counts for each user", "users.c"),
    LessonRow(3, "buffer", "a perf buffer that carries a struct for each event", "execs.c"),
    LessonRow(4, "tail-call", "a program that hands over to others through a table", "syscalls.c"),
)

EXERCISES = (
    Exercise(
        1,
        "who",
        "Say who: print the pid too",
        "Say who: let the line have the pid of the process.",
        "bpf_get_current_pid_tgid() >> 32 is the pid, and %d in the text of bpf_trace_printk prints a number.",
        checks.prints_pid,
    ),
    Exercise(
        1,
        "inline",
        "A function of your own, inlined",
        "Move the line that prints into a function of its own. Mark it __attribute__((noinline)) first, and read why "
        "it does not load; then let it be inlined.",
        "Write static inline int greet(void) {..} before hello. BCC loads each program by itself, so a program cannot "
        "call a function that lies elsewhere: its instructions must become part of the program.",
        checks.is_inlined,
    ),
    Exercise(
        2,
        "failed",
        "Count failures apart: key {uid, failed}",
        "Count failures apart: let the key be a struct of uid and failed.",
        "What failed is known when the call returns: TRACEPOINT_PROBE(syscalls, sys_exit_execve) {..} instead of "
        "hello, where args->ret is below 0. Then try /no/such/program.",
        checks.counts_failures,
    ),
    Exercise(
        3,
        "config",
        "Another message for each uid, by a map",
        "Send another message for each uid: look it up in a map that you write on the screen.",
        "struct text { char text[16]; }; BPF_HASH(config, u32, struct text); Look up data.uid, and if a text is there, "
        "copy it: bpf_probe_read_kernel(&data.message, sizeof(data.message), found->text).",
        checks.is_configured,
    ),
    Exercise(
        3,
        "ring",
        "A ring that drops, and counts it",
        "Use a ring buffer that is too small, and count the events that it has no room for.",
        "BPF_RINGBUF_OUTPUT(output, 1) has one page. output.ringbuf_output(&data, sizeof(data), 0) does not return 0 "
        "if there is no room. To fill it: seq 5000 | xargs -n 1 -P 8 true",
        checks.drops_and_counts,
    ),
    Exercise(
        4,
        "openat",
        "A program for openat, in its slot",
        "Write a program for openat that prints, and put it into the slot of that call.",
        "// ebpftop: slot syscalls[openat]=hello_openat, or Enter on the slot. By its name, since numbers differ: "
        "openat is 257 on x86-64 and 56 on arm64.",
        checks.has_openat,
    ),
    Exercise(
        4,
        "chain",
        "A chain of tail calls, until the kernel ends it",
        "Let a program in a slot call itself, and count in an array how many tail calls follow each other.",
        "BPF_PROG_ARRAY(chain, 1) has the program, BPF_PERCPU_ARRAY(depth, u64, 2) the count: hello sets the first to "
        "0, each run adds 1, and what is behind chain.call(ctx, 0) runs only if the call was not made: copy it there.",
        checks.ends_after_33,
    ),
)


def of_lesson(number: int) -> tuple[Exercise, ...]:
    """Return the exercises of lesson *number*, in their order."""
    return tuple(exercise for exercise in EXERCISES if exercise.lesson == number)
