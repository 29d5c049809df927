"""The long parts of the details of a program, below what fits on a screen: arguments, attempts, environment."""

from __future__ import annotations

from ebpftop.core import format
from ebpftop.core.process_records import Exec
from ebpftop.models.copy_as import is_exact
from ebpftop.models.exec_row import ExecRow, command_line
from ebpftop.models.processes import ProcessInfo
from ebpftop.ui.widgets.sheet import Piece, Sheet

SHOWN_CHARACTERS = 16_000
"""Characters of the arguments that are laid out at most (25 ms); two million would take seconds each time."""

COMMAND_SHOWN = 300
"""Characters of the command line that are shown on top; a longer one is shown below, too."""

NAMES_SHOWN = 1000
"""Characters of names of the environment that are shown on top."""

_MAY_BE_BYTES = r"\x.. may stand for bytes"


def copies_what(argv: tuple[str, ...]) -> str:
    """Return what `y` copies in a list."""
    return "Command line" if not argv or is_exact(argv) else f"Command line (not to be run; {_MAY_BE_BYTES})"


def command(sheet: Sheet, argv: tuple[str, ...]) -> None:
    """Add the command line, or its beginning."""
    whole = command_line(argv)
    bytes_note = "" if is_exact(argv) else f"  ({_MAY_BE_BYTES})"
    sheet.part("COMMAND", [(whole[:COMMAND_SHOWN], "bold"), rest(whole, whole[:COMMAND_SHOWN]), (bytes_note, "$dim")])


def arguments(sheet: Sheet, argv: tuple[str, ...], file: str, *, truncated: bool = False) -> None:
    """Add the arguments, one a line, and the command line if it does not fit on top."""
    sheet.heading(f"Arguments ({len(argv)}{', cut off by the kernel side' if truncated else ''})")
    left = SHOWN_CHARACTERS
    for i, argument in enumerate(argv):
        if left <= 0:
            more = format.counted(len(argv) - i, "more argument", whole=True)
            characters = format.counted(sum(map(len, argv[i:])), "character", whole=True)
            sheet.line((f"   …  {more}, {characters}: E exports them", "$warning"))
            break
        shown = argument[:left]
        # An empty argument has its own line too.
        left -= len(shown) + 40
        sheet.line((f"{i:>4}  ", "$dim"), (shown or "''", "" if shown else "$dim"), rest(argument, shown))
    if truncated:
        sheet.line(("   …  there were more than ebpftop keeps", "$warning"))
    whole = command_line(argv or (file,))
    if len(whole) > COMMAND_SHOWN:
        sheet.heading(f"Command line{'' if is_exact(argv) else f' ({_MAY_BE_BYTES})'}")
        shown = whole[:SHOWN_CHARACTERS]
        sheet.line((shown, ""), rest(whole, shown))


def rest(whole: str, shown: str) -> Piece:
    """Return a note about how much of a text is not shown."""
    if len(whole) <= len(shown):
        return "", ""
    return f" … {format.counted(len(whole) - len(shown), 'more character', whole=True)}", "$warning"


def values(sheet: Sheet, e: Exec) -> None:
    """Add what is known of the environment: one variable a line, or the names alone."""
    names = tuple(e.env or e.env_names or ())
    if not names:
        return
    sheet.heading(f"Environment ({len(names)}{', cut' if {'env', 'env_names'} & {*e.cut} else ''})")
    left = SHOWN_CHARACTERS
    if not e.env:
        whole = " ".join(sorted(names))
        sheet.line((whole[:left], ""), rest(whole, whole[:left]))
        return
    for name, value in sorted(e.env.items()):
        if left <= 0:
            sheet.line(("   …  more than is shown here: E exports them", "$warning"))
            break
        shown = value[:left]
        left -= len(name) + len(shown) + 40
        sheet.line((f"{name}=", "$dim"), (shown, ""), rest(value, shown))


def tried(sheet: Sheet, row: ExecRow, attempts: list[ExecRow]) -> None:
    """Add the attempts of the search in PATH that *row* is part of."""
    search = row.search
    if search is None or not attempts:
        return
    head = search.head
    sheet.heading(f"Tried before it was found ({len(attempts)})" if not head.failed else f"Tried ({len(attempts)})")
    width = min(40, max(len(attempt.exec.file) for attempt in attempts))
    for attempt in attempts:
        sheet.line((f"{attempt.exec.file:<{width}}", ""), (" → ", "$dim"), (attempt.outcome, "$error"))
    if (missing := search.attempts + head.failed - len(attempts)) > 0:
        sheet.line((f"and {format.counted(missing, 'older attempt')}, which the log does not have any more", "$dim"))


def started_by(sheet: Sheet, ancestors: list[ProcessInfo], ppid: int, pcomm: str) -> None:
    """Add the ancestors with what they were called with, the eldest first."""
    sheet.heading("Started by")
    if not ancestors:
        if ppid:
            sheet.fact(str(ppid), pcomm or "?", note="nothing more is known of it")
        else:
            sheet.line(("(none: pid 1)", "$dim"))
        return
    last = ancestors[-1]
    if last.pid != 1 and last.ppid:
        sheet.line((f"{last.ppid:>7}  ", "$dim"), ("not seen: it forked without exec, or its end was lost", "$dim"))
    for depth, known in enumerate(reversed(ancestors)):
        ended = "  (ended)" if known.ended is not None else ""
        sheet.line(
            (f"{known.pid:>7}  ", "$dim"),
            ("   " * (depth - 1) + ("└─ " if depth else ""), "$dim"),
            (known.comm, "bold"),
            (f"  {' '.join(known.argv)[:200]}{ended}", "$dim"),
        )
