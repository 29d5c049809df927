"""How each exercise of the lesson is checked: from what the records say, and from the text of the file.

A check returns a `Verdict`. It is not shown where the file does not load (models/lesson.py), except by `inlined`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ebpftop.core.format import counted
from ebpftop.core.load_records import BpfEvent, LoadedMap, MapRow
from ebpftop.models.lesson_evidence import ARRAYS, Evidence, has_text, member, number, texts
from ebpftop.models.lesson_source import functions
from ebpftop.syscalls import abi

MAX_TAIL_CALLS = 33
"""MAX_TAIL_CALL_CNT, include/linux/bpf.h."""

_KEPT_NAME = 15  # characters of a program's name that the kernel keeps
_LINES_READ = 3
# What the verifier says of a call of what was not loaded with the program.
_LEADS_OUT = ("last insn is not an exit or jmp", "jump out of range")
_AT_ENTRY = ("syscall:", "kprobe:", "fentry:", "tracepoint:syscalls:sys_enter_", "raw_tracepoint:sys_enter")
_START_ONE = "start a program in another terminal, as ls"


class Verdict(NamedTuple):
    """Whether an exercise is done, and why not yet, or what came out."""

    is_done: bool
    because: str


def _done(text: str) -> Verdict:
    return Verdict(True, text)


def _not_yet(text: str) -> Verdict:
    return Verdict(False, text)


# ---- Lesson 1 ----


def prints_pid(evidence: Evidence) -> Verdict:
    """Do the lines that the program prints have the pid of the process that it ran in?"""
    lines = list(evidence.lines)[-_LINES_READ:]
    if not lines:
        return _not_yet(f"no line yet: {_START_ONE}")
    for line in lines:
        if not re.search(rf"\b{line.pid}\b", line.message):
            return _not_yet(f"the line “{line.message}” came from pid {line.pid} and does not say so")
    return _done(f"“{lines[-1].message}” came from pid {lines[-1].pid}")


def is_inlined(evidence: Evidence) -> Verdict:
    """Is there a function beside the programs, which became part of one of them?"""
    loaded = evidence.loaded
    if loaded is None:
        return _not_yet("the file was not loaded yet")
    bodies = functions(evidence.text)
    programs = {program.name for program in loaded.programs}
    if loaded.state == "failed":
        for problem in loaded.diagnostics:
            said = "\n".join((problem.message, *problem.log))
            if "non-static helper function" in said:
                return _not_yet("clang says that it is not static: to BCC each function that is not is a program")
            if any(words in said for words in _LEADS_OUT):
                return _not_yet(
                    "a function was called: BCC loads the instructions of hello alone, and the call leads out of them"
                )
        return _not_yet("the file does not load")
    used = {
        name: program
        for program, body in bodies.items()
        if program in programs
        for name in bodies.keys() - programs
        if re.search(rf"\b{name}\s*\(", body)
    }
    if not bodies.keys() - programs:
        return _not_yet("there is no function beside the programs")
    if not used:
        return _not_yet(f"no program uses {min(bodies.keys() - programs)}")
    name, program = min(used.items())
    code = evidence.code.get(program)
    if code is not None and any(line.function not in (None, program) for line in code.xlated):
        return _not_yet(f"{name} is called: its instructions are behind those of {program}")
    insns = next(item.insns for item in loaded.programs if item.name == program)
    return _done(f"{name} became part of {program}, whose {insns} instructions have no call of it")


# ---- Lesson 2 ----


def counts_failures(evidence: Evidence) -> Verdict:
    """Is there a map with the key {uid, failed}, and were both kinds counted?"""
    counters = evidence.counters()
    if not counters:
        return _not_yet("no map counts")
    keyed = [item for item in counters if item.key is not None and item.key.kind == "struct"]
    if not keyed:
        return _not_yet(f"the key of {counters[0].name} is one number")
    for item in keyed:
        uid, failed = member(item.key, "uid"), member(item.key, "fail")
        if uid is not None and failed is not None:
            early = _counts_at_entry(evidence, item)
            return _both_kinds(evidence.rows(item.name), item, uid, failed, early)
    return _not_yet(f"the key of {keyed[0].name} needs two members, uid and failed")


def _both_kinds(rows: tuple[MapRow, ...], counter: LoadedMap, uid: str, failed: str, early: str | None) -> Verdict:
    counts: dict[tuple[object, bool], int] = {}
    for row in rows:
        if isinstance(row.key, dict):
            key = row.key.get(uid), bool(row.key.get(failed))
            counts[key] = counts.get(key, 0) + number(row.value)
    if not any(counts.values()):
        return _not_yet(f"{counter.name} has counted nothing: {_START_ONE}")
    if not any(count for (_, was_failure), count in counts.items() if was_failure):
        return _not_yet("no failure was counted: try /no/such/program, and ask only when the call returns")
    if not any(count for (_, was_failure), count in counts.items() if not was_failure):
        return _not_yet(f"only failures were counted: {_START_ONE}, and compare the return value with 0")
    if early is not None:
        return _not_yet(f"{early} counts when the call begins, also what fails then: ask only when it returns")
    user = next(who for (who, was_failure), count in counts.items() if was_failure and count)
    return _done(f"uid {user}: {counts.get((user, False), 0)} started, {counts[user, True]} failed")


def _counts_at_entry(evidence: Evidence, counter: LoadedMap) -> str | None:
    """Return the program at the entry of a call that counts in *counter*: what fails later is in its counts too."""
    bodies = functions(evidence.text)
    programs = evidence.loaded.programs if evidence.loaded is not None else ()
    for program in programs:
        at_entry = (program.event or "").startswith(_AT_ENTRY)
        if at_entry and re.search(rf"\b{counter.name}\b", bodies.get(program.name, "")):
            return program.name
    return None


# ---- Lesson 3 ----


def is_configured(evidence: Evidence) -> Verdict:
    """Do the events of a uid have the text that a map holds for it?"""
    configs = [item for item in evidence.maps if has_text(item.value) and (item.type in ARRAYS or "hash" in item.type)]
    if not configs:
        return _not_yet("no map has a text as its value")
    rows = {row.key: set(texts(row.value)) - {""} for item in configs for row in evidence.rows(item.name)}
    if not any(rows.values()):
        return _not_yet(f"{configs[0].name} is empty: write a row on the screen, with your uid as the key")
    events = [
        event for item in evidence.of_type("perf_event_array", "ringbuf") for event in evidence.sent_to(item.name)
    ]
    wrong: Verdict | None = None
    for event in reversed(events):
        wanted = rows.get(_uid(event))
        if not wanted:
            continue
        if wanted & set(texts(event.fields)):
            return _of_others(events, rows, event)
        message = event.fields.get("message", "something else")
        wrong = wrong or _not_yet(f"the event of uid {_uid(event)} says “{message}”, and the map “{min(wanted)}”")
    return wrong or _not_yet(f"no event of uid {min(map(str, rows))} yet: {_START_ONE}")


def _uid(event: BpfEvent) -> object:
    return event.uid if event.uid is not None else event.fields.get("uid")


def _of_others(events: list[BpfEvent], rows: Mapping[object, set[str]], event: BpfEvent) -> Verdict:
    text = min(rows[_uid(event)] & set(texts(event.fields)))
    others = [other for other in events if not rows.get(_uid(other))]
    if not others and len({uid for uid, found in rows.items() if found}) == 1:
        return _not_yet(f"uid {_uid(event)} gets “{text}”; what do others get? Try: setpriv --reuid 65534 true")
    if any(text in texts(other.fields) for other in others):
        return _not_yet(f"every uid gets “{text}”")
    return _done(f"uid {_uid(event)} gets “{text}”, others another message")


def drops_and_counts(evidence: Evidence) -> Verdict:
    """Is there a ring buffer, and a map that counts what found no room in it?"""
    rings = evidence.of_type("ringbuf")
    if not rings:
        return _not_yet("there is no ring buffer: BPF_RINGBUF_OUTPUT")
    if not any(evidence.sent_to(item.name) for item in rings):
        return _not_yet(f"nothing came through {rings[0].name}: {_START_ONE}")
    counters = evidence.counters()
    if not counters:
        return _not_yet("no map counts what the ring has no room for")
    dropped, counter = max((evidence.total(item.name), item.name) for item in counters)
    if not dropped:
        return _not_yet(f"{counter} is 0: make the ring small, and start thousands of programs at once")
    if evidence.runs and dropped >= evidence.runs:
        return _not_yet(f"{counter} counts every run, also those whose event came: {dropped} of {evidence.runs}")
    return _done(f"{counted(dropped, 'event', whole=True)} found no room, and {counter} says so")


# ---- Lesson 4 ----


def has_openat(evidence: Evidence) -> Verdict:
    """Is there a program in the slot of openat, and did it run?"""
    arrays = evidence.of_type("prog_array")
    if not arrays:
        return _not_yet("there is no table of programs")
    number_here = _number("openat", evidence)
    where = f"slot {number_here} (openat)" if number_here is not None else "the slot of openat"
    for item in arrays:
        for row in evidence.rows(item.name):
            if row.names.get("key") != "openat" and (number_here is None or row.key != number_here):
                continue
            program = _program_in(row, evidence)
            if program is None:
                continue
            if any(line.program and line.program.name[:_KEPT_NAME] == program[:_KEPT_NAME] for line in evidence.lines):
                return _done(f"{program} is in {where}, and prints")
            return _not_yet(f"{program} is in {where} and has printed nothing yet: cat a file")
    return _not_yet(f"{where} of {max(arrays, key=lambda item: item.max_entries).name} is empty")


def _number(call: str, evidence: Evidence) -> int | None:
    """Return the number of a system call on the machine that the records are from, if they say which one it is."""
    arch = next((code.arch for code in evidence.code.values() if code.arch), "")
    return abi.number(abi.native_abi(arch), call) if arch else None


def _program_in(row: MapRow, evidence: Evidence) -> str | None:
    """Return the name of the program in a slot: the value is the name, or the id."""
    if isinstance(row.value, str) and row.value:
        return row.value
    named = row.names.get("value")
    programs = evidence.loaded.programs if evidence.loaded is not None else ()
    return named or next((item.name for item in programs if item.id is not None and item.id == row.value), None)


def ends_after_33(evidence: Evidence) -> Verdict:
    """Is there a program that calls itself through a slot, and did a map come to stand at 33 calls?"""
    if evidence.loaded is None:
        return _not_yet("the file was not loaded yet")
    bodies = functions(evidence.text)
    chained = [
        (program, row.names.get("key", ""))
        for item in evidence.of_type("prog_array")
        for row in evidence.rows(item.name)
        if (program := _program_in(row, evidence)) is not None
        and re.search(rf"\b{item.name}\s*\.\s*call\s*\(", bodies.get(program, ""))
    ]
    if not chained:
        return _not_yet("no program in a slot makes a tail call itself")
    program, call = max(chained, key=lambda one: bool(one[1]))
    found: dict[int, str] = {}
    used = ""
    for item in evidence.counters():
        if item.type in ARRAYS:
            used = used or (item.name if re.search(rf"\b{item.name}\b", bodies[program]) else "")
            rows = evidence.rows(item.name)
            for row in rows:
                for value in row.cpus or (row.value,):
                    found[number(value)] = f"{item.name} on one CPU" if row.cpus else item.name
            # An array may also count how many chains have each length: then its index is the length.
            longest = max((number(row.key) for row in rows if number(row.value)), default=0)
            if longest in (MAX_TAIL_CALLS, MAX_TAIL_CALLS + 1):
                found[longest] = item.name
    if used and not max(found, default=0):
        begin = f"make the call {call}" if call else "make the call that begins the chain"
        return _not_yet(f"{used} is 0, nothing has run {program} yet: {begin}")
    return _of_length(found, program)


def _of_length(found: dict[int, str], program: str) -> Verdict:
    """Return the verdict for a map that counts tail calls (33), or the programs that ran (34)."""
    if MAX_TAIL_CALLS in found:
        return _done(f"{MAX_TAIL_CALLS} tail calls of {program} in {found[MAX_TAIL_CALLS]}; the 34th was not made")
    if MAX_TAIL_CALLS + 1 in found:
        return _done(f"34 programs ran, the first one and 33 by tail calls; the 34th call of {program} was not made")
    longest = max(found, default=0)
    if not longest:
        return _not_yet(f"{program} runs itself again: now count in an array how often")
    if longest > MAX_TAIL_CALLS:
        return _not_yet(f"{found[longest]} says {longest}: set it to 0 where a chain begins")
    if longest == MAX_TAIL_CALLS - 1:
        return _not_yet(f"{longest} in {found[longest]}: the tail call that leads into {program} is not counted")
    return _not_yet(f"the longest chain so far has {longest} tail calls")
