"""Why a program did not start, or ended badly: a sentence of what the records say. Nothing in it is guessed.

What an error or a signal means is from execve(2) and signal(7); what an exit code usually means, from sh(1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ebpftop.core.clock import dated_text
from ebpftop.core.process_records import Exec, Exit
from ebpftop.models.exec_row import ExecRow, attempts_of
from ebpftop.models.processes import ProcessInfo
from ebpftop.models.program_history import ProgramHistory
from ebpftop.models.ring import Ring
from ebpftop.syscalls.errno_names import signal_name, signal_numbers

PATH_SHOWN = 400
"""Characters of a PATH that are shown."""

LATER_MAX = 6
"""Ancestors of which it is said what became of them."""

_ERRORS: Mapping[str, str] = {
    "ENOENT": "{file} does not exist, or the interpreter that it asks for does not",
    "EACCES": "{file} may not be executed by {user}: no permission for the file or a directory above it, not a file, "
    "or on a file system that is mounted noexec",
    "ENOEXEC": "{file} is neither a program for this machine nor a script that begins with #!",
    "E2BIG": "its arguments and environment are larger together than the kernel accepts",
    "ENOTDIR": "something in the path {file} is not a directory",
    "EPERM": "{user} is not permitted to execute {file}: it would change its privileges, and must not",
    "ETXTBSY": "{file} is open for writing",
    "ELOOP": "{file} is behind too many symbolic links or interpreters",
    "ENAMETOOLONG": "the path is too long",
    "ENOMEM": "the kernel had not enough memory",
    "EINVAL": "{file} asks for more than one ELF interpreter",
    "EISDIR": "the ELF interpreter that {file} asks for is a directory",
    "ELIBBAD": "the ELF interpreter that {file} asks for has an unknown format",
    "EIO": "{file} could not be read",
    "EAGAIN": "{user} has as many processes as its limit allows",
    "EMFILE": "its process has as many files open as its limit allows",
    "ENFILE": "as many files are open as the machine's limit allows",
    "EFAULT": "the caller passed an address that is not its own",
}

_SIGNALS: Mapping[str, str] = {
    "SIGSEGV": "it accessed memory that it must not",
    "SIGBUS": "it accessed memory that does not exist",
    "SIGFPE": "it divided by zero, or the like",
    "SIGILL": "it executed an instruction that does not exist",
    "SIGPIPE": "it wrote to a pipe or socket that nobody reads",
    "SIGSYS": "it made a system call that it must not",
    "SIGXCPU": "it used more CPU time than its limit allows",
    "SIGXFSZ": "it wrote a larger file than its limit allows",
    "SIGTRAP": "it reached a breakpoint",
}

_EXIT_MEANINGS: Mapping[int, str] = {
    126: "usually: a shell found the command, but could not execute it",
    127: "usually: a shell did not find the command, or a library was missing",
}


def why(ring: Ring[ExecRow], row: ExecRow, history: ProgramHistory, now: float) -> str:
    """Return why *row* did not start or ended badly; empty if it did not, or if nothing is known of it."""
    sentences = [*(_not_started(ring, row, history, now) if row.failed else _ended(row, history))]
    return " ".join(_sentence(words, at) for at, words in enumerate(sentences))


def why_ended(ending: Exit) -> str:
    """Return why a process of which only the end is known ended badly; empty if it did not."""
    return " ".join(_sentence(words, at) for at, words in enumerate(_of_end(ending)))


def _sentence(words: str, at: int) -> str:
    """Return *words* as a sentence; the first one goes on from its label."""
    return f"{words[:1].upper() if at and words.startswith(('it ', 'its ')) else words[:1]}{words[1:]}."


def exit_meaning(code: int | None) -> str:
    """Return what an exit code usually means, by the convention of shells; empty if there is none."""
    if code is None:
        return ""
    if code in _EXIT_MEANINGS:
        return _EXIT_MEANINGS[code]
    # A shell adds 128 to the number of the signal that ended its command.
    number = code - 128
    return f"usually: its command was ended by {signal_name(number)}" if number in signal_numbers().values() else ""


def afterwards(ancestors: list[ProcessInfo], since: float) -> list[str]:
    """Return how the ancestors of a process, its parent first, have ended *since*, up to one that runs."""
    found: list[str] = []
    for known in ancestors[:LATER_MAX]:
        if known.ended is None:
            if found:
                found.append(f"{known.pid} {known.comm} is running")
            break
        if known.ended >= since:
            found.append(f"{ending_words(known.ending)} of {known.pid}")
    return found


def ending_words(ending: Exit | None) -> str:
    """Return how a process ended: ``exit 127``, ``SIGKILL``."""
    if ending is not None and ending.signal:
        return ending.signal
    return "exit (not seen)" if ending is None or ending.code is None else f"exit {ending.code}"


def _name(e: Exec) -> str:
    return e.file.rpartition("/")[2] or e.file


def _not_started(ring: Ring[ExecRow], row: ExecRow, history: ProgramHistory, now: float) -> Iterator[str]:
    e, search = row.exec, row.search
    tried: set[str] = set()
    if search is not None and search.in_path:
        if not search.head.failed:
            found = search.head.exec.file
            yield f"not in {e.file.rpartition('/')[0] or '/'}; the search in PATH went on, and found it: {found}"
            return
        attempts = attempts_of(row, ring)
        folders = list(dict.fromkeys(attempt.exec.file.rpartition("/")[0] or "/" for attempt in attempts))
        tried.update(folders)
        path = ":".join(folders)
        if len(path) > PATH_SHOWN:
            path = path[: PATH_SHOWN - 1] + "…"
        count = search.attempts + 1
        if search.has_ended:
            yield f"not in {e.comm}'s PATH {path} ({count} tried)"
        else:
            yield f"not in {path} ({count} tried); what the search in PATH came to was not seen"
        refused = [attempt.exec.file for attempt in attempts if attempt.exec.error == "EACCES"]
        if refused:
            yield f"{refused[0]} is there, but {row.user} may not execute it (EACCES)"
    else:
        tried.add(e.file.rpartition("/")[0])
        words = _ERRORS.get(e.error or "", "execve returned {ret}")
        words = words.replace("{user}", row.user).replace("{ret}", str(e.ret)).replace("{file}", e.file)
        yield f"{words} (directory: {e.cwd})" if e.cwd and not e.file.startswith("/") else words
    other = history.elsewhere
    if other is not None and e.error in ("ENOENT", "ENOTDIR", "EACCES"):
        yield from _where_it_is(row, other, tried, now)


def _where_it_is(row: ExecRow, other: ExecRow, tried: set[str], now: float) -> Iterator[str]:
    """Say where a program of that name started, and when."""
    e, o = row.exec, other.exec
    path = o.file
    if not path.startswith("/") and o.interp is None and o.exe is not None and o.exe.endswith(f"/{_name(o)}"):
        path = o.exe
    if not path.startswith("/"):
        return
    folder = path.rpartition("/")[0] or "/"
    when = dated_text(o.time, now)
    inside = ""
    if o.container != e.container:
        inside = f" in container {o.container}" if o.container else ", outside of the container"
    elif o.root != e.root:
        inside = f" below {o.root}" if o.root else ", outside of its root directory"
    if folder in tried and not inside:
        yield f"{other.user} ran it there at {when}{', after this' if o.time > e.time else ''}"
    else:
        yield f"it is in {folder}{inside}, where {other.user} ran it at {when}"


def _ended(row: ExecRow, history: ProgramHistory) -> Iterator[str]:
    if row.exit is None:
        return
    yield from _of_end(row.exit)
    if row.exit.code:
        yield from _of_children(row, row.exit.code, history)


def _of_end(ending: Exit) -> Iterator[str]:
    if ending.signal is not None:
        yield _of_signal(ending, ending.signal)
    elif ending.code and (meaning := exit_meaning(ending.code)):
        yield f"exit {ending.code}, {meaning}"


def _of_signal(ending: Exit, signal: str) -> str:
    killer = ending.killer
    if ending.oom:
        words = f"the kernel killed it ({signal}): memory ran out"
    elif killer is not None and killer.pid == ending.pid:
        words = f"it sent itself {signal}"
    elif killer is not None:
        words = f"{killer.comm}, pid {killer.pid} of uid {killer.uid}, sent it {signal}"
    else:
        words = f"{signal} ended it" + (f": {_SIGNALS[signal]}" if signal in _SIGNALS else "")
    return f"{words}; its core was dumped" if ending.core else words


def _of_children(row: ExecRow, code: int, history: ProgramHistory) -> Iterator[str]:
    """Say which program it could not start, or which child ended as it did, last."""
    for attempt in reversed(history.attempts):
        yield f"its process could not execute {_name(attempt.exec)} in its place: {attempt.outcome}"
        return
    for child in reversed(history.children):
        end = child.exec.time if child.failed else child.ended
        if end is None or (row.ended is not None and end > row.ended):
            continue
        who = f"its child {child.exec.pid}"
        if child.failed:
            if code in (126, 127) and child.went_wrong:
                yield f"{who} could not execute {_name(child.exec)}: {child.outcome}"
                return
        elif child.exit is not None and child.exit.code == code:
            yield f"{who}, {child.exec.comm}, ended with the same code before"
            return
        elif child.exit is not None and child.exit.signal and signal_numbers().get(child.exit.signal) == code - 128:
            yield f"{who}, {child.exec.comm}, was ended by {child.exit.signal} before"
            return
