"""What clang and the verifier printed about a file, as diagnostics: the line, what it means, and what to try."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from ebpftop.core.load_records import Diagnostic, Register
from ebpftop.models import verifier_log
from ebpftop.models.compiler_log import CompilerMessage
from ebpftop.models.compiler_log import read as read_compiler
from ebpftop.models.compiler_words import explained
from ebpftop.models.verifier_explanation import Explanation
from ebpftop.models.verifier_lines import in_line
from ebpftop.models.verifier_log import Step, VerifierLog
from ebpftop.models.verifier_registers import Maker, maker, origin, register_words
from ebpftop.models.verifier_words import ERRORS, GLOBAL_VARIABLE, explanation

LOG_BYTES = 64 << 10
"""Of a longer log the end is kept."""
_TEXT_MAX = 60
"""Characters of a line of another file that are quoted."""
PATH_LINES = 48
"""Lines of a path that are kept: the last ones."""

_REWRITTEN = re.compile(r"\b\w+\.\w+\(|bpf_trace_printk|->")
_INSN = re.compile(r"\binsn[= ](\d+)|alloc_insn=(\d+)")
_MESSAGE_REGISTER = re.compile(r"\bR(\d+)\b")
_USED_REGISTER = re.compile(r"\b[rw](\d+)\b")
_TYPE_IN_MESSAGE = re.compile(r"\bR(\d+) (?:invalid mem access '|type=)([\w]+)")
_HELPER = re.compile(r"call (\w+?)(?:#\d+)?$")
_SIMPLE = re.compile(
    r"(?!return\b|if\b|for\b|while\b|else\b|switch\b|do\b)(?:[^;{}=]*[^;{}=!<>]=[^=;{}][^;{}]*|[^;{}=]+);$"
)
_NUMBERS = ("inv", "invP", "scalar")
_DECLARATION = re.compile(
    r"(?:const |unsigned |struct |enum |static )*[A-Za-z_]\w*(?: +\**|\*+ *)[A-Za-z_]\w*\s*(?:=|\[|;)"
)


# ---- clang and BCC ----


class IncludedFile(NamedTuple):
    """A file that the source includes: by which of its lines, and the lines of that file."""

    line: int
    lines: Sequence[str]


_NO_FILES: Mapping[str, IncludedFile] = {}


def of_compiler(
    output: str, source: Sequence[str], file: str, included: Mapping[str, IncludedFile] = _NO_FILES
) -> tuple[Diagnostic, ...]:
    """Return what clang and BCC say in *output*, about the lines of *source*, which `#line` names *file*.

    Errors come first, as they were printed; then warnings. What is said of a file that is *included*, by its name below
    the folder, is about the line that includes it. What says no line is about the whole file.
    """
    messages = read_compiler(output, file, {name: one.line for name, one in included.items()})
    ordered = sorted(messages, key=lambda one: one.severity != "error")
    log = _log_lines(output)
    found: list[Diagnostic] = []
    for one in dict.fromkeys(_of_message(one, source, included) for one in ordered):
        is_repeated = any((one.line, one.meaning) == (other.line, other.meaning) for other in found)
        bare = msgspec.structs.replace(one, meaning="", suggestion="") if is_repeated else one
        found.append(msgspec.structs.replace(bare, log=() if found else log))
    return tuple(found)


def _of_message(one: CompilerMessage, source: Sequence[str], included: Mapping[str, IncludedFile]) -> Diagnostic:
    message = one.message
    if one.included is None:
        meaning, suggestion = explained(one, source)
    else:
        name, number = one.included
        lines = included[name].lines
        text = textwrap.shorten(_text(lines, number), _TEXT_MAX, placeholder=" ..")
        message = f"{name}:{number}: {message}{' in: ' if text else ''}{text}"
        meaning, suggestion = explained(replace(one, line=number), lines)
    line, column = one.line, one.column
    if not _is_of_the_source(one, _text(source, line)):
        column = None
    last = next((at for at in range(len(source), 0, -1) if source[at - 1].strip()), 0)
    if line is not None and line > last > 0:  # where the file ends
        line, column = last, None
    known = line is not None and 0 < line <= len(source)
    return Diagnostic(
        stage="clang",
        severity=one.severity,
        line=line if known else None,
        column=column if known else None,
        message=message,
        meaning=meaning,
        suggestion=suggestion,
        program=one.function,
    )


def _is_of_the_source(one: CompilerMessage, line: str) -> bool:
    """Return whether the column is one of *line*, and not of what BCC made of it: it writes maps and pointers anew."""
    if one.text is not None:
        # What stands on the line of its function is compiled as two lines, in the same columns: kernel/load/lines.py.
        printed, whole = "".join(one.text.split()), "".join(line.split())
        begin = len(one.text) - len(one.text.lstrip(" "))
        behind = "".join(line.encode()[begin:].decode("utf-8", "replace").split())
        return printed in (whole, behind) or (printed.endswith("{") and whole.startswith(printed))
    return one.column is not None and _REWRITTEN.search(line.encode()[: one.column].decode("utf-8", "replace")) is None


# ---- the verifier ----


def of_verifier(
    program: str,
    log: str,
    source: Sequence[str],
    file: str | None = None,
    *,
    lines: Mapping[int, int] | None = None,
    error: str = "",
) -> Diagnostic:
    """Return why the verifier refused *program*, by its *log*.

    *source* are the lines of the file, *file* its name without a folder, as the log has it. *lines* are those of the
    instructions where the log does not say them. *error* is the name of the error number (``EACCES``), for a refusal
    without a word.
    """
    read = verifier_log.read(log, file, lines)
    message, known = _message(read.messages)
    if known is not None:
        known = _in_context(read, message, known)
    registers = dict(read.registers)
    if typed := _TYPE_IN_MESSAGE.search(message):
        registers[f"r{typed[1]}"] = _named_type(registers.get(f"r{typed[1]}", ""), typed[2])
    line = _line(read, message, lines or {}, len(source))
    if line is None and known is not None:
        line = known[0].place(source)
    column = None
    made = _maker(read, message)
    at_line = in_line(message, _text(source, line), source)
    if at_line is not None:
        meaning, suggestion = at_line
    elif known is None:
        meaning, suggestion = ERRORS.get(error, ("", "")) if not read.messages else ("", "")
    else:
        meaning, suggestion = _filled(known[0], known[1], read, made, registers, _text(source, line))
    if line is not None:
        text = _text(source, line)
        column = len(text) - len(text.lstrip()) + 1 if text else None
    return Diagnostic(
        program=program,
        stage="verifier",
        line=line,
        column=column,
        message=message or (f"the kernel refused it: {error}" if error else "the kernel refused it without a reason"),
        meaning=meaning,
        suggestion=suggestion,
        registers=_registers(read, registers, message),
        path=_path(read, line, len(source)),
        log=_log_lines(log),
    )


_Known = tuple[Explanation, re.Match[str]]


def _message(messages: Sequence[str]) -> tuple[str, _Known | None]:
    """Return the line of *messages* that is explained, or the first one; what comes later is often a consequence."""
    for message in messages:
        if found := explanation(message):
            return message, found
    return (messages[0] if messages else ""), None


def _in_context(read: VerifierLog, message: str, known: _Known) -> _Known:
    """Return what the message means where it is said, if that is more exact."""
    if "misconfigured verifier" in message and read.steps and "bpf_tail_call" in read.steps[-1].text:
        return explanation("expected prog array map for tail call") or known  # in Linux 5.10
    typed = _TYPE_IN_MESSAGE.search(message)
    found = origin(read.steps, f"r{typed[1]}") if typed and typed[2] in _NUMBERS else None
    if found is not None and found.made.text.endswith("= 0x0"):
        # An address that nobody filled in: that of a global variable, or of a table of texts.
        return GLOBAL_VARIABLE, known[1]
    return known


def _named_type(state: str, kind: str) -> str:
    """Return *state* with the type that the message says, which is the newer one: a pointer may have become invalid."""
    before, paren, inside = state.partition("(")
    if before.rstrip("-0123456789") == kind or (before.isdigit() and kind in _NUMBERS):
        return state
    return f"{kind}{paren}{inside}" if "null" in kind else kind


def _line(read: VerifierLog, message: str, given: Mapping[int, int], count: int) -> int | None:
    """Return the line of the instruction that the message is about."""
    insn = _INSN.search(message)
    number = int(insn[1]) if insn and insn[1] else None  # where it was reserved is not where it is missing
    if number is not None:
        found = read.lines.get(number) or _line_at(given, number)
        if found:
            return found
    for step in reversed(read.steps):
        if step.line is not None and 0 < step.line <= count:
            return step.line
    return None


def _line_at(given: Mapping[int, int], number: int) -> int | None:
    """Return the line of an instruction: that of the last one before it that has one."""
    before = [at for at in given if at <= number]
    return given[max(before)] if before else None


def _maker(read: VerifierLog, message: str) -> tuple[Maker | None, int | None]:
    """Return what made the value that the message is about, and on which line."""
    if (insn := _INSN.search(message)) and insn[2]:
        step = next((one for one in reversed(read.steps) if one.insn == int(insn[2])), None)
        return (maker(step), step.line) if step else (None, None)
    register = _MESSAGE_REGISTER.search(message)
    found = origin(read.steps, f"r{register[1]}") if register else None
    return (maker(found.made), found.made.line) if found else (None, None)


def _filled(
    known: Explanation,
    match: re.Match[str],
    read: VerifierLog,
    made: tuple[Maker | None, int | None],
    registers: Mapping[str, str],
    text: str,
) -> tuple[str, str]:
    """Return meaning and suggestion with the names of this program in them."""
    what, line = made
    register = _MESSAGE_REGISTER.search(match.string)
    value = f"r{register[1]}" if register else "it"
    variable = what.variable if what else ""
    returned = f"what {what.call} returned" if what and what.call else ""
    it = variable or returned or f"the value in {value}"
    last = read.steps[-1] if read.steps else None
    names = {
        "it": it,
        "call": _called(last),
        "made": f"{what.call or 'it'} on line {line}" if what and line else "by a function before",
        **{key: found or "" for key, found in match.groupdict().items()},
        "in_range": f": {_range(match['range'])}" if match.groupdict().get("range") else "",
    }
    meaning = known.meaning.format_map(names)
    if not variable and "{it}" in known.suggestion:
        names["it"] = "p"
    suggestion = known.suggestion.format_map(names)
    if known.asks_for_null_test and variable:
        statement = text.strip()
        if _SIMPLE.match(statement) and not _DECLARATION.match(statement) and re.search(rf"\b{variable}\b", statement):
            suggestion = f"if ({variable}) {statement}"
    elif known.asks_for_null_test and what and what.call:
        suggestion = f"keep it in a variable and test that: if (!{names['it']}) return 0;"
    return meaning[:1].upper() + meaning[1:] if meaning.startswith(("what ", "the value")) else meaning, suggestion


def _range(text: str) -> str:
    """Return a range of numbers; before Linux 6.8 it is written as bits that are known: (value; mask)."""
    bits = re.match(r"\(0x([0-9a-f]+); 0x([0-9a-f]+)\)", text)
    if bits:
        least, mask = int(bits[1], 16), int(bits[2], 16)
        return f"{least}..{least | mask}" if mask else str(least)
    interval = re.match(r"\[(-?\d+), (-?\d+)\]", text)
    if interval:
        return interval[1] if interval[1] == interval[2] else f"{interval[1]}..{interval[2]}"
    return text


def _called(step: Step | None) -> str:
    """Return the function that is called where the verifier stopped, as the source has it."""
    helper = _HELPER.match(step.text) if step else None
    if step is None or helper is None:
        return "this"
    return maker(step).call or helper[1]


def _registers(read: VerifierLog, registers: Mapping[str, str], message: str) -> tuple[Register, ...]:
    """Return what was known, first of the registers that message and instruction name."""
    last = read.steps[-1].text if read.steps else ""
    used = [f"r{number}" for number in (*_MESSAGE_REGISTER.findall(message), *_USED_REGISTER.findall(last))]
    used += ["r1", "r2", "r3", "r4", "r5"] if last.startswith("call ") else []
    order = list(dict.fromkeys(name for name in used if name in registers))
    rest = sorted((name for name in registers if name not in order), key=_place)
    return tuple(
        Register(name=name, text=register_words(name, registers[name], _map_of(read, name, registers[name])))
        for name in (*order, *rest)
    )


def _place(name: str) -> tuple[int, int]:
    """Return the order of registers: r0 to r10, then the stack from its top."""
    kind = 0 if name.startswith("r") else 1
    digits = re.sub(r"\D", "", name)
    return kind, int(digits or 0)


def _map_of(read: VerifierLog, name: str, state: str) -> str:
    """Return the name of the map of a register, as the source has it, if the state does not name it."""
    if not state.startswith("map_") or "map=" in state or not name.startswith("r"):
        return ""
    last = read.steps[-1] if read.steps else None
    found = origin(read.steps, name)
    step = found.made if found else last
    return maker(step).map if step else ""


def _path(read: VerifierLog, line: int | None, count: int) -> tuple[int, ...]:
    path = [number for number in read.path if 0 < number <= count]
    if line is not None and path and path[-1] != line and line in path:
        while path[-1] != line:
            path.pop()
    return tuple(path[-PATH_LINES:])


def _text(source: Sequence[str], line: int | None) -> str:
    return source[line - 1] if line is not None and 0 < line <= len(source) else ""


def _log_lines(log: str) -> tuple[str, ...]:
    """Return the lines of a log; of a long one the end."""
    if len(log) > LOG_BYTES:
        log = log[-LOG_BYTES:].partition("\n")[2]
    return tuple(log.rstrip("\n").split("\n")) if log.strip() else ()
