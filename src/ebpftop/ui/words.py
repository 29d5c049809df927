"""What the signs, words and colours on the screen mean: the texts of the help and of the tooltips.

What a pane or a column is about, the pane and the column say themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebpftop.core.records import Where
from ebpftop.core.theme_names import THEME_NAMES


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign on the screen, its meaning, and the look in which it is drawn (``lines--LOOK`` of a row)."""

    sign: str
    about: str
    look: str = ""


@dataclass(frozen=True, slots=True)
class Loss:
    """A kind of loss: what is missing on the screen, and what helps."""

    missing: str
    helps: str


LOSSES: Mapping[Where, Loss] = {
    "ring": Loss(
        "Events that came while the buffer between kernel and ebpftop was full: their rows are missing.",
        "A filter (u, U, --comm), which the kernel applies before the buffer; or less load on the machine.",
    ),
    "exits": Loss(
        "Ends of processes that came while that buffer was full. Within twenty seconds /proc shows that they ended: "
        "exited ?, without exit code.",
        "The same as for ring.",
    ),
    "map": Loss(
        "What had no room in a table in the kernel: a further user, process or call in flight. Such users are "
        "counted together, as other.",
        "A filter: what it leaves out takes no room.",
    ),
    "recursion": Loss(
        "Runs of a program of ebpftop that the kernel left out: it was called inside itself, or while it was "
        "preempted on that CPU.",
        "Nothing on this kernel. It is rare, except where the kernel preempts BPF programs (Linux 7.3).",
    ),
    "argv": Loss(
        "Arguments, or a path: the memory that holds them could not be read at that moment. The row is there, "
        "without them.",
        "Nothing has to be done: no program is missing.",
    ),
    "pipe": Loss(
        "Printed lines that newer ones overwrote before they could be read: those of BPF programs, in the trace "
        "buffer; those of the command of `ebpftop run`, if they come faster than they can be shown.",
        "A program that prints less; the trace log shows which BPF program prints most.",
    ),
    "rate": Loss(
        "Traced calls, or opens, beyond the limit for each CPU and second. The table of system calls counts them "
        "all the same.",
        "Fewer traced calls (T: a condition, or stop), or a filter; of traced calls, a higher --trace-limit.",
    ),
    "fleet": Loss(
        "Events of a host of `ebpftop fleet` that came faster than its panes could take them. The list of hosts counts "
        "them all the same.",
        "A filter there (--stream '--uid 1000'), which its kernel applies.",
    ),
}
"""Each kind of loss. It is counted at the place where it happens."""

COLOURS: tuple[Mark, ...] = (
    Mark("red", "what went wrong: it did not start, ended with another status than 0, returned an error", "bad"),
    Mark("amber", "what to look at: root, containers, what was lost, waits of a second and more, traced calls", "warn"),
    Mark("green", "what is running now", "good"),
    Mark("dim", "less important: arguments of a kernel thread, units, a normal end", "dim"),
)

SIGNS: tuple[Mark, ...] = (
    Mark("▸", "the pane that has the focus: keys go there", "point"),
    Mark("›", "the selected row: Enter, o, y, u, U and C are about it", "point"),  # noqa: RUF001  # as it is drawn
    Mark("·", "nothing: zero, or it does not apply", "dim"),
    Mark("…", "more was there than fits: a wider terminal, or Enter, shows it", ""),
    Mark("▼ ▲", "the table is sorted by this column: largest first, smallest first", "sorted"),
    Mark("k M G T", "thousand, million, and so on: 1000 each", ""),
    Mark(
        "ns µs ms s",
        "a billionth, a millionth, a thousandth of a second, a second; then 2m00s, 3h12m, 11d4h",
        "",
    ),
)
"""Signs of all panes."""

STATES: tuple[Mark, ...] = (
    Mark("●", "the probe is attached", "good"),
    Mark("○", "the probe is detached: nothing of it is left in the kernel, and it costs nothing", "dim"),
    Mark("✗", "the probe could not be attached, or its pane stopped; the pane says why", "bad"),
    Mark("…", "it is being attached or detached, or nothing is known of it yet", "warn"),
    Mark("–", "it was not recorded, or is not in the stream: nothing is known of it", "dim"),
)
"""States of a probe, behind its number."""

STATUS: Mapping[str, str] = {
    "name": "? explains what is shown; a click on a word here opens what it is about.",
    "host": "The machine that is shown. A click opens the diagnostics.",
    "kernel": "Its kernel, as uname -r writes it.",
    "probes": "The probes by the numbers of their panes: ● attached, ○ detached, ✗ failed, – not recorded. "
    "Their digits toggle them.",
    "events": "Events per second: programs started and failed, exits, printed lines, traced calls, opens. "
    "A click opens the diagnostics.",
    "lost": "Happened, and is not shown: what was lost so far, of all kinds. The titles of the panes say which.",
    "limit": "Traced calls and opens that are counted but not shown one by one: more of them than the limit allows.",
    "gone": "What the filter names and no longer exists: nothing can match it.",
    "own": "The file that is loaded does not run, or not all of it. A click opens the workbench, which says why.",
    "cost": "What ebpftop itself takes, in percent of one CPU: its programs in the kernel, and its process.",
    "interval": "Seconds between two readings of the counters; + and - change it.",
    "filter": "What all panes are filtered to, the newest step last, and the expression of /. Esc clears the newest.",
    "damage": "What is missing of the recording: lines that could not be read, or its end. A click says which.",
    "mode": "What is shown if not this machine now: a recording with its speed, or a remote stream.",
    "paused": "The moment that is shown, and how far back it is. Nothing moves; collection goes on. Space, l: to live.",
    "history": "How far back one can go, and the memory that it takes.",
    "clock": "Date and time of the newest reading, and the time zone of all times on the screen. A click pauses.",
}
"""The words of the status line, by part."""

FILTERS: Mapping[str, str] = {
    "/": "filters the list that has the focus while you type; Enter keeps it, Esc clears it, Up recalls earlier ones.",
    "git push": "both, in any field; each is a regular expression (RE2). Small letters match capitals too.",
    '"git push"': "with the blank in it",
    "^git": "what a row is about begins so: the command; in other lists the path, the message, the name.",
    "!git": "the others; a ! that stands alone in front inverts all of what follows.",
    "comm:cc*": "a field by its name: all of it, or a pattern; comm:a,b one of several, comm:!a not that, unit:* any.",
    "duration:>1s": "> >= < <= with ns us ms s m h d; numbers with k M (calls:>10k), shares with % (failed:>10%).",
    "ret:ENOENT": "errors, signals (signal:SEGV) and users (user:root) by name or number",
    "Tab": "completes the fields of the list, which the line below shows, and the names of errors, signals and states.",
    "uid:0 pid:812": "in front, in a log: with Enter the kernel decides, for all panes. So with the next three.",
    "comm:ssh*": "this command name; a * at the end: names that begin so",
    "cgroup:/a": "this control group and those below it",
    "container:8f": "this container, by name or by the beginning of its id",
    "n N": "the next and the previous match, also after Esc",
}
"""What can be typed after /, and what it does."""

TERMINAL: Mapping[str, str] = {
    "Shift-drag": "Selects text as the terminal does without ebpftop (iTerm2: Option-drag).",
    "Y": "Gives the mouse to the terminal, and takes it back; --no-mouse from the start on.",
    "y": "Sends text to the terminal's clipboard (OSC 52). Over ssh it goes to the terminal in front of you. It "
    "does not say whether it took it.",
    "tmux": "Takes what y sends after: set -g set-clipboard on",
    "--theme": f"{', '.join(THEME_NAMES)}. Ctrl-P Theme changes it now, F2 keeps it.",
    "--ascii": "Draws with ASCII only, as in a locale that is not UTF-8.",
    "NO_COLOR": "In the environment: no colours, only bold, underline and reverse.",
}

GLOSSARY: Mapping[str, str] = {
    "fail": "An exec that did not start a program.",
    "error": "A system call that returned one. Many are normal.",
    "lost": "It happened, and is not shown. Delivered + lost = what happened.",
    "in flight": "A call that a thread has entered and not left.",
    "graphs": "The whole machine over the time of the timeline (O). The figure is of the last reading, as in titles; "
    "a column is the mean of its time, ≤ the top of the scale. Enter or a click opens one alone.",
    "reading": "Counters in the kernel are read once an interval; a rate is the difference of two readings.",
    "probe": "Programs in the kernel that see one kind of thing. Each pane has one.",
    "p50 p90 p99": "The latency that so many percent of the calls do not exceed, from a histogram by powers of two: "
    "wrong by a factor of two at most.",
    "handler": "What the kernel does with a system call: count it, ignore it, or trace each one with its arguments.",
}

TAIL_CALLED = "not counted: another program tail-calls it, and the kernel counts that one"
"""What is said of the runs of a program that nothing else runs."""
