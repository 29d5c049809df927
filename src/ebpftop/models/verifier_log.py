"""What the kernel's verifier printed about a program: the way that it walked to the instruction that it refused.

The log is text for people, and its form changes between kernels. It has the same parts in all of them from 5.10 to
7.x: instructions (`7: (79) r1 = *(u64 *)(r0 +0)`), the source lines that they come from (`; (*n)++; @ hello.c:10`),
what is known of registers (`R0=map_value_or_null(..)`), where it goes on with the other side of a branch
(`from 10 to 14: ..`), and at the end why the program is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

STEPS_MAX = 200_000
"""Instructions of a log that are read; a program that is too complex has a million."""

_LINE_MAX = 4096  # characters of a line that are read: the state of all registers and of 512 bytes of stack has fewer

_INSN = re.compile(r"(\d+): \([0-9a-f]{2}\) (.*)")
_STATE = re.compile(r"(?:(\d+): ?)?(?:frame\d+: )?((?:R\d+|fp-\d+)(?:_\w+)?=.*)")
_BRANCH = re.compile(r"from (\d+) to (\d+)(?: \([^)]*\))?: ?(?:frame\d+: )?(.*)")
_SOURCE = re.compile(r"; ?(.*?)(?: @ ([^\s:@]+):(\d+))?$")
_PART = re.compile(r"(?:^|\s)(R\d+|fp-\d+)(?:_[a-z]+)?=")
_TAIL = re.compile(r"(?:\s(?:refs=[\d,]+|cb|async_cb))+$")
_STATISTICS = re.compile(r"processed (\d+) insns")
_NOISE = re.compile(
    r"processed \d|verification time|stack depth|subprog \d|func#\d+ @|Live regs before|mark_precise|last_idx|regs=|"
    r"parent |"
    r"propagating|cur state:|old state:|caller:|callee:|returning from callee|to caller at|Validating |Func#|\s|"
    r"Global function|arg#\d+ |\(truncated|BTF of |\d+: safe$",
)
_CALL = re.compile(r"call (?!pc)\S+")


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction as the verifier came to it. `registers`: what it knew before, by lower-case name (``r0``).

    `line` is its line in the file, None if it is unknown or in another file; `source` is the text of the line.
    """

    insn: int
    text: str
    line: int | None
    source: str
    registers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class VerifierLog:
    """`steps` lead to the instruction that was refused, which is the last. `messages`: why, line by line.

    `registers` are what was known when it was refused. `processed`: instructions that were walked, None if it does not
    say. `lines`: the line of each instruction as far as the log says.
    """

    steps: tuple[Step, ...]
    registers: Mapping[str, str]
    messages: tuple[str, ...]
    processed: int | None
    lines: Mapping[int, int]

    @property
    def path(self) -> tuple[int, ...]:
        """The lines of the file that the verifier walked through, without repeats one after the other."""
        path: list[int] = []
        for step in self.steps:
            if step.line is not None and path[-1:] != [step.line]:
                path.append(step.line)
        return tuple(path)


class _Walk:
    """The steps so far. The verifier walks one side of a branch to its end, then goes on with the last other side."""

    def __init__(self, file: str | None, lines: Mapping[int, int]) -> None:
        self._file = file
        self._given = lines
        self._steps: list[tuple[Step, int]] = []  # each with the index of the one before it, -1
        self._last = -1
        self._visits: dict[int, list[int]] = {}
        self._registers: dict[str, str] = {}
        self._source: tuple[str, int | None] = ("", None)
        self._is_call = False
        self.lines: dict[int, int] = {}

    def source(self, text: str, file: str | None, line: int | None) -> None:
        is_other = file is not None and self._file is not None and file.rpartition("/")[2] != self._file
        self._source = (text, None if is_other or not text else line)

    def insn(self, number: int, text: str) -> None:
        self._end_call()
        source, line = self._source
        if line is None:
            line = self._given.get(number)
        if line is not None:
            self.lines[number] = line
        self._steps.append((Step(number, text, line, source, dict(self._registers)), self._last))
        self._last = len(self._steps) - 1
        self._visits.setdefault(number, []).append(self._last)
        self._is_call = _CALL.match(text) is not None

    def state(self, text: str) -> None:
        """Note what is known after the last instruction: of what has changed, or of everything."""
        self._end_call()
        self._registers.update(_registers(text))

    def _end_call(self) -> None:
        """Forget the registers that a call destroys, when what is printed next is no longer about the call."""
        if self._is_call:
            for name in ("r0", "r1", "r2", "r3", "r4", "r5"):
                self._registers.pop(name, None)
        self._is_call = False

    def branch(self, origin: int, state: str) -> None:
        """Go on from the last visit of *origin*, whose other side has not been walked yet."""
        visits = self._visits.get(origin)
        self._last = visits.pop() if visits else -1
        self._registers = dict(_registers(state))
        self._is_call = False
        self._source = ("", None)

    def taken(self) -> tuple[Step, ...]:
        found: list[Step] = []
        at = self._last
        while at >= 0:
            step, at = self._steps[at]
            found.append(step)
        return tuple(reversed(found))

    def known(self) -> Mapping[str, str]:
        return dict(self._registers)


def read(log: str, file: str | None = None, lines: Mapping[int, int] | None = None) -> VerifierLog:
    """Read *log*. *file* is the name of the source: lines of other files are not counted as its own.

    *lines* are those of the instructions, for a log that does not say them.
    """
    walk = _Walk(file, lines or {})
    messages: list[str] = []
    processed = None
    count = 0
    for whole in log.splitlines():
        text = whole[:_LINE_MAX]
        if match := _STATISTICS.search(whole):
            processed = int(match[1])
            text = text[: match.start()]  # a message without an end of line may stand before it
        if not text or text.startswith(("  ", "\t")):
            continue
        if count < STEPS_MAX and (match := _INSN.match(text)):
            count += 1
            messages.clear()
            insn, _, state = match[2].partition(";")
            walk.insn(int(match[1]), insn.strip())
            if state.strip():
                walk.state(state)
        elif match := _BRANCH.match(text):
            messages.clear()
            walk.branch(int(match[1]), match[3])
        elif match := _STATE.match(text):
            walk.state(match[2])
        elif text.startswith(";"):
            match = _SOURCE.match(text)
            if match:
                walk.source(match[1].strip(), match[2], int(match[3]) if match[3] else None)
        elif not _NOISE.match(text):
            messages.append(text.strip())
    return VerifierLog(walk.taken(), walk.known(), tuple(messages), processed, walk.lines)


def _registers(text: str) -> Iterator[tuple[str, str]]:
    """Yield the registers (``r0``) and stack slots (``fp-8``) of a state, and what is known of each."""
    found = list(_PART.finditer(text))
    for match, following in zip(found, [*found[1:], None], strict=False):
        value = text[match.end() : following.start() if following else None]
        yield match[1].lower(), _TAIL.sub("", value.strip())
