"""A monkey at the screen: random keys, mouse, pastes, sizes and broken escape sequences, all out of one seed.

    python -m tests.monkey [--seed N] [--duration S] [--seeds N] [--without DEEDS] live|demo|replay FILE [OPTIONS]

The real command runs in a real terminal, and gets bytes and signals as from a user's. A seed draws the same deeds each
time, though not at the same moments of what is shown.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from benchmarks.terminal import Screen

from tests.hostile_records import CANARY

HANG_S = 10.0
"""A key that is not answered for so long, on a machine that has a processor for it: the screen hangs."""

MEMORY_MIB = 400.0

_ASK_EVERY = 25
_TOLD = 3000
_SEQUENCE_S = 0.15
"""After such a pause what came of a sequence is all of it."""
_KEEP_BYTES = 1 << 26
_SIZES = ((1, 1), (2, 1), (1, 40), (20, 5), (10, 3), (300, 2), (40, 12), (80, 24), (120, 35), (200, 50), (400, 100))
_ASKED_IN = ((80, 24), (100, 30))
_SEQUENCES = re.compile(rb"\x1b(?:\[[0-9;:?>=<$]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78])")
_PRIVATE = re.compile(rb"\x1b\[(?:[<>=][0-9;]*[a-zA-Z]|\?[0-9;]+\$p)")
_RENDERED_BYTES = 2_000_000
_OVERLAP_BYTES = 1 << 14
_TRACEBACKS = (b"Traceback (most recent call last)", b"Exception in thread", b"Fatal Python error")
# As `ebpftop.ui.screens.journal` writes its journal.
_LOGGED = re.compile(rb"\d\d:\d\d:\d\d,\d{3} (?:ERROR|CRITICAL)")
_CRASH_LOG = re.compile(rb"; log: (/\S+\.log)")
_ESCAPED = (b"\x1b" + CANARY, b"\x9d" + CANARY[1:], "\x9d".encode() + CANARY[1:])
# What the screen turns on and has to turn off: its own buffer, the cursor hidden, mouse, focus, pastes, kitty's keys.
_MODES = (
    (b"\x1b[?1049h", b"\x1b[?1049l"),
    (b"\x1b[?25l", b"\x1b[?25h"),
    (b"\x1b[?1000h", b"\x1b[?1000l"),
    (b"\x1b[?1003h", b"\x1b[?1003l"),
    (b"\x1b[?1004h", b"\x1b[?1004l"),
    (b"\x1b[?2004h", b"\x1b[?2004l"),
    (b"\x1b[>1u", b"\x1b[<u"),
)

_PASTE_ENDS = b"\x1b[201~"
_PALETTE = b"\x10"
# Without its first letter, on which the cursor blinks.
_PALETTE_SAYS = b"earch for commands"

_KEYS = (
    *(key.encode() for key in string.ascii_letters + string.digits + string.punctuation + " " if key != "q"),
    *(bytes([code]) for code in range(1, 32) if code not in (3, 17, 26, 28)),
    *(b"\x7f", b"\x1b", b"\x1b[Z", b"\x1bOP", b"\x1b[15~", b"\x1b[5~", b"\x1b[6~", b"\x1b[H", b"\x1b[F"),
    *(b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[1;5C", b"\x1b[1;2A", b"\x1b[3~", b"\x1b[97;5u", b"\x1bx"),
)
# What does something on the screen, and does it most in each other's midst.
_COMMANDS = b"kjgGFtmucC/DTiZEylr<>+- []1234?\r\r\r\r\t\t\x1b\x1b\x1b\x13\x10PP0axveOHLwWV!nNdbS"
_LEAVING = (b"q", b"\x03", b"\x11")
_WORDS = (
    *(b"a", b"!bash", b"(a+)+$", b"[", b"user:root", b"container:[a=", b"uid:", b"pid:1", b"\\", b"*", b"x" * 500),
    *("\u65e5\u672c\u202e\u0301\U0001f469\u200d".encode(), b"\xff\xfe", b"/../../x", b"comm:[/red]", b"", b"%s{0}"),
)
ODD = (
    *(b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b[<", b"\x1b[200~", b"\x1b[?", b"\x1b[1;", b"\xe2", b"\xf0\x9f", b"\x1b\x1b["),
    *(
        b"\x1b[I",
        b"\x1b[O",
        b"\x1b[?62;4c",
        b"\x1b[24;80R",
        b"\x1b[?2026;2$y",
        b"\x1b[?2048;0$y",
        b"\x1b[48;24;80;0;0t",
    ),
    *(b"\x1b]11;rgb:ffff/ffff/ffff\x07", b"\x1b]52;c;!!!\x07", b"\x1bP>|tmux 3.4\x1b\\", b"\x1b[<999999999;1;1M"),
    *(b"\x1b[<0;0;0M", b"\x1b[<-1;-1;-1M", b"\x1b[<0;99999;99999M", b"\x1b[<0;;M", b"\x1b[M !!", b"\x1b[99999999u"),
    *(b"\x1b[1114112;1u", b"\x1b[55296u", b"\x1b[0u", b"\x00", b"\x80\x81", b"\xc0\xaf", b"\xed\xa0\x80", b"\x1b[999~"),
    *(b"\x1b[48;0;0;0;0t", b"\x1b[48;99999;99999;1;1t", b"\x1b[;;;;;;;;;;m", b"\x1b[38;2;300;300;300m", b"\x9b31m"),
)


class Failure(Exception):
    """What the monkey broke, and how."""


@dataclass
class Monkey:
    """Does random things to *screen*, and finds out whether it lives."""

    screen: Screen
    seed: int
    without: Sequence[str] = ()
    memory_mib: float = MEMORY_MIB
    done: list[str] = field(default_factory=list)
    peak_mib: float = 0.0
    longest_answer_s: float = 0.0
    leaves: bool = False
    """It has done what may end the screen."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.size = (120, 35)
        self._modes = self.screen.modes
        self._started = False
        self._judged = 0
        deeds: list[tuple[Callable[[], None], float]] = [
            (self._keys, 50),
            (self._type, 6),
            (self._click, 12),
            (self._drag, 4),
            (self._scroll, 6),
            (self._resize, 8),
            (self._paste, 3),
            (self._odd, 8),
            (self._rest, 6),
            (self._signal, 2),
            (self._flood, 1),
            (self._leave, 0.4),
        ]
        self._deeds = [(deed, weight) for deed, weight in deeds if deed.__name__[1:] not in self.without]

    @property
    def patience_s(self) -> float:
        """How long a key may take: more than HANG_S where others want the processors too."""
        return HANG_S * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))

    def start(self) -> None:
        """Wait until the screen is up."""
        if not self.screen.wait_for(b"Help", timeout_s=60):
            self._fail("the screen never came up")
        self._started = True

    def play(self, seconds: float) -> None:
        """Do random things for *seconds*, and ask now and then whether it lives; raises Failure."""
        until_s = time.monotonic() + seconds
        deeds, weights = zip(*self._deeds, strict=True)
        while time.monotonic() < until_s and not self.screen.ended():
            for deed in self.random.choices(deeds, weights, k=_ASK_EVERY):
                deed()
                time.sleep(self.random.choice((0, 0, 0.005, 0.02, 0.05)))
                if self.screen.ended():
                    break
            self.ask()

    def ask(self) -> None:
        """See that a key is answered, that nothing is wrong on the terminal, and how much memory there is."""
        self._wake()
        if self.screen.ended(0.2 if self.leaves else 0):
            self._judge_end()
            return
        # What was begun is ended first: a paste, a sequence; then a size in which a palette has room.
        self._send(_PASTE_ENDS)
        time.sleep(_SEQUENCE_S)
        self._escape()
        self.size = next(size for size in _ASKED_IN if size != self.size)
        self.screen.resize(*self.size)
        since = self.screen.mark
        began_s = time.monotonic()
        while True:
            # Where a palette was open, the first one closes it.
            self._send(_PALETTE)
            if self.screen.wait_for(_PALETTE_SAYS, since=since, timeout_s=2):
                # It may be a palette that was asked for before: what waits behind that key may still end the screen.
                # A word that is drawn was typed behind all of it.
                word, since = "".join(random.choices("56789", k=8)).encode(), self.screen.mark
                self._send(word)
                if self.screen.wait_for(word, since=since, timeout_s=5):
                    break
            if self.screen.ended():
                self._judge_end()
                return
            if time.monotonic() - began_s > self.patience_s:
                self._fail(f"a key was not answered for {self.patience_s:.0f} s")
            self._wake()
            self._escape()
        # What it did before has been answered, too.
        self.leaves = False
        self.longest_answer_s = max(self.longest_answer_s, time.monotonic() - began_s)
        self._escape()
        self._judge_painted()
        self.peak_mib = max(self.peak_mib, self.screen.memory()[0])
        if self.peak_mib > self.memory_mib:
            self._fail(f"it takes {self.peak_mib:.0f} MiB")

    def finish(self) -> None:
        """Leave it, and see that it goes, that the terminal is as before, and that nothing stays; raises Failure."""
        if not self.screen.ended():
            self.ask()
        if not self.screen.ended():
            self._diagnose()
            # A frame of all that room takes long.
            self.screen.resize(*_ASKED_IN[0])
            self.leaves = True
            until_s = time.monotonic() + self.patience_s
            while True:
                # In a sheet q goes back, in an input it is a letter.
                self._escape_all()
                self._press(b"q")
                if self.screen.ended(2):
                    break
                if time.monotonic() > until_s:
                    self._fail(f"q did not end it in {self.patience_s:.0f} s")
        self._judge_end()

    # What it does.

    def _note(self, deed: str) -> None:
        self.done.append(deed if len(deed) < 200 else f"{deed[:100]} ... {deed[-60:]} ({len(deed)} characters)")

    def _send(self, data: bytes) -> None:
        if not self.screen.press(data, self.patience_s) and not self.screen.ended(1):
            self._wake()
            if not self.screen.press(data, self.patience_s) and not self.screen.ended(1):
                self._fail(f"the terminal's queue was full for {self.patience_s:.0f} s: nobody reads keys")

    def _escape(self) -> None:
        """Press Escape, alone: with what follows at once it would be another key."""
        self._send(b"\x1b")
        time.sleep(_SEQUENCE_S)

    def _escape_all(self) -> None:
        """Leave dialogs, sheets, lists, the filter, a pane alone."""
        for _ in range(5):
            self._escape()

    def _press(self, data: bytes) -> None:
        self._note(repr(data)[1:])
        self._send(data)

    def _keys(self) -> None:
        commands = self.random.random() < 0.7
        count = self.random.choice((1, 1, 2, 3, 3, 4, 8))
        if commands:
            keys = [bytes([self.random.choice(_COMMANDS)]) for _ in range(count)]
        else:
            keys = self.random.choices(_KEYS, k=count)
        self._press(b"".join(keys))

    def _type(self) -> None:
        begin = self.random.choice((b"/", b"m/", b"\x13", b"E", b"c", b"\x10", b""))
        end = self.random.choice((b"\r", b"\x1b", b"\t", b"", b"\x15"))
        self._press(begin + self.random.choice(_WORDS) + end)

    def _place(self) -> tuple[int, int]:
        columns, lines = self.size
        return self.random.randint(1, columns + 1), self.random.choice((1, lines, self.random.randint(1, lines + 1)))

    def _button(self, button: int, place: tuple[int, int], *, up: bool = False) -> bytes:
        return f"\x1b[<{button};{place[0]};{place[1]}{'m' if up else 'M'}".encode()

    def _click(self) -> None:
        place = self._place()
        button = self.random.choice((0, 0, 0, 1, 2)) + self.random.choice((0, 0, 0, 4, 8, 16))
        one = self._button(button, place) + self._button(button, place, up=True)
        # What is clicked may be "q Quit", in the footer or in the palette.
        self.leaves = True
        self._press(one * self.random.choice((1, 1, 2, 2, 3)))

    def _drag(self) -> None:
        places = [self._place() for _ in range(self.random.randint(2, 8))]
        moves = b"".join(self._button(32, place) for place in places[1:])
        self.leaves = True
        self._press(self._button(0, places[0]) + moves + self._button(0, places[-1], up=self.random.random() < 0.9))

    def _scroll(self) -> None:
        button = self.random.choice((64, 65, 66, 67)) + self.random.choice((0, 0, 4, 16))
        self._press(self._button(button, self._place()) * self.random.choice((1, 3, 20)))

    def _resize(self) -> None:
        for _ in range(self.random.choice((1, 1, 1, 4))):
            if self.random.random() < 0.7:
                self.size = self.random.choice(_SIZES)
            else:
                self.size = self.random.randint(1, 400), self.random.randint(1, 100)
            self._note("size {}x{}".format(*self.size))
            self.screen.resize(*self.size)

    def _paste(self) -> None:
        text = self.random.choice((*_WORDS, b"q\r\x03t\n" * 3, b"y" * 20_000))
        self._press(b"\x1b[200~" + text + (_PASTE_ENDS if self.random.random() < 0.8 else b""))

    def _odd(self) -> None:
        data = self.random.choice(ODD)
        if self.random.random() < 0.2:
            data = self.random.randbytes(self.random.randint(1, 12)).translate(None, b"".join(_LEAVING) + b"\x1c")
        cut = self.random.randint(0, len(data))
        self._press(data[:cut])
        time.sleep(self.random.choice((0, 0.01, 0.12)))
        self._press(data[cut:])

    def _rest(self) -> None:
        seconds = self.random.choice((0.1, 0.3, 0.6))
        self._note(f"rest {seconds}")
        time.sleep(seconds)

    def _signal(self) -> None:
        number = self.random.choice((signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP, signal.SIGSTOP))
        self._note(number.name)
        with suppress(ProcessLookupError):
            os.kill(self.screen.pid, number)
        if number in (signal.SIGTSTP, signal.SIGSTOP):
            time.sleep(0.05)
            self._wake()

    def _flood(self) -> None:
        """Hold a key down."""
        key, times = self.random.choice(((b"j", 60), (b"\t", 60), (b"+", 60), (b"\x1b[D", 10), (b"1", 10), (b"m", 10)))
        self._press(key * times)

    def _leave(self) -> None:
        self.leaves = True
        self._press(self.random.choice(_LEAVING))

    # What it finds.

    def _wake(self) -> None:
        """Do what `fg` does, where it was suspended."""
        with suppress(OSError):
            state = Path("/proc", str(self.screen.pid), "stat").read_text(errors="replace").rpartition(") ")[2][0]
            if state == "T":
                self._note("SIGCONT")
                os.kill(self.screen.pid, signal.SIGCONT)

    def _diagnose(self) -> None:
        """Read the diagnostics, on a screen on which all of them have room: what was logged there is a failure too."""
        self._escape_all()
        self.screen.resize(150, 400)
        since = self.screen.mark
        self._send(b"!")
        self.screen.wait_for(b"Diagnostics", since=since, timeout_s=5)
        time.sleep(0.5)
        text = _SEQUENCES.sub(b"", self.screen.painted(since))
        if error := _LOGGED.search(text):
            self._fail("the journal tells of an error", text[error.start() :])
        self._judge_painted()

    def _judge_painted(self) -> None:
        # Only what is new, and as much before it as a text may be cut off in.
        since, self._judged = max(0, self._judged - _OVERLAP_BYTES), self.screen.mark
        painted = self.screen.painted(since)
        for text in _ESCAPED:
            if text in painted:
                at = painted.index(text)
                self._fail("a text reached the terminal raw", painted[max(0, at - 200) : at + 200])
        plain = _SEQUENCES.sub(b"", painted)
        for text in _TRACEBACKS:
            if text in plain:
                # All of it.
                self.screen.ended(3)
                plain = _SEQUENCES.sub(b"", self.screen.painted())
                self._fail("a traceback on the terminal", plain[plain.index(text) :])

    def _judge_end(self) -> None:
        self._judge_painted()
        status = self.screen.status
        # Where the screen has more to draw than it can in 1.6 s, its guard ends it: docs/ending.md.
        if status not in (0, 130, -signal.SIGKILL) or not self.leaves:
            self._fail(f"it ended with status {status}")
        painted = self.screen.painted()
        for on, off in _MODES:
            if painted.rfind(on) > painted.rfind(off):
                self._fail(f"the terminal was left with {on!r}")
        if self.screen.modes != self._modes:
            self._fail(f"the terminal's settings are {self.screen.modes}, and were {self._modes}")
        left = _session(self.screen.pid)
        if left:
            self._fail(f"processes are left: {left}")

    def _fail(self, what: str, seen: bytes = b"") -> None:
        told = [f"seed {self.seed}: {what}"]
        if self.screen.ended():
            told.append(f"it ended with status {self.screen.status}")
        told += [f"after {len(self.done)} deeds, the last of them:", *(f"  {deed}" for deed in self.done[-40:])]
        if log := _CRASH_LOG.search(self.screen.painted()):
            with suppress(OSError):
                told.append(Path(os.fsdecode(log[1])).read_text())
        told.append(seen.decode("utf-8", "replace")[:_TOLD])
        told += [f"the screen, {self.size[0]} by {self.size[1]}:", *rendered(self.screen.painted(), self.size)]
        raise Failure("\n".join(told))


def rendered(painted: bytes, size: tuple[int, int]) -> list[str]:
    """Return the lines that a terminal of *size* shows after *painted*."""
    terminal = pyte.Screen(*size)
    # pyte shows what it does not know of sequences with a private marker.
    pyte.ByteStream(terminal).feed(_PRIVATE.sub(b"", painted[-_RENDERED_BYTES:]))
    return [line.rstrip() for line in terminal.display]


def _session(pid: int) -> list[str]:
    """Return the processes of the session that *pid* led."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            if int(text.rpartition(") ")[2].split()[3]) == pid:
                found.append(text)
    return found


@contextmanager
def confined() -> Iterator[list[str]]:
    """Yield what stands before a command to run it in an empty folder, and as root where no file but these is written.

    The monkey saves recordings under the names that it types.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        if os.geteuid():
            yield ["env", "-C", folder]
        else:
            script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind / && cd "$1" && shift && exec "$@"'
            yield ["unshare", "--mount", "sh", "-c", script, "sh", folder]


def run(
    arguments: Sequence[str],
    seed: int,
    seconds: float,
    while_it_runs: Callable[[int], None] | None = None,
    without: Sequence[str] = (),
) -> str:
    """Let a monkey of *seed* at `ebpftop` *arguments* for *seconds*, anew where it leaves; return what it came to.

    *while_it_runs* is called with the process's id after each start; *without* names deeds that are left out (odd,
    signal). Raises Failure.
    """
    until_s = time.monotonic() + seconds
    runs = 0
    deeds: Counter[str] = Counter()
    peak_mib = longest_s = 0.0
    with confined() as before:
        while runs == 0 or time.monotonic() < until_s - 3:
            screen = Screen([*before, sys.executable, "-m", "ebpftop", *arguments], (120, 35), keep_bytes=_KEEP_BYTES)
            monkey = Monkey(screen, seed + 1000 * runs, without)
            try:
                monkey.start()
                if while_it_runs is not None and not screen.ended():
                    while_it_runs(screen.pid)
                monkey.play(until_s - time.monotonic())
                monkey.finish()
            finally:
                screen.kill()
            runs += 1
            deeds["deeds"] += len(monkey.done)
            peak_mib, longest_s = max(peak_mib, monkey.peak_mib), max(longest_s, monkey.longest_answer_s)
    return f"seed {seed}: {runs} runs, {deeds['deeds']} deeds, {peak_mib:.0f} MiB, longest answer {longest_s:.1f} s"


def main() -> int:
    """Run it; 1 where it broke something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--duration", type=float, default=30.0, metavar="S")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="so many seeds, one after the other")
    parser.add_argument("--without", default="", metavar="DEEDS", help="of odd,signal,resize and so on")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    failed = 0
    for seed in range(args.seed, args.seed + args.seeds):
        try:
            said = run(args.command, seed, args.duration, without=args.without.split(","))
        except Failure as failure:
            said, failed = str(failure), 1
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
