"""The merged log of all hosts: so many programs as a screen can show, the failed ones first, each host its share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ebpftop.core.escape import escape
from ebpftop.fleet.host import Host
from ebpftop.fleet.rows import EndRow, LogRow
from ebpftop.fleet.seen import SeenEnding, SeenProgram, ending_decoder, program_decoder
from ebpftop.models.shell_line import shell_line

ROWS_A_TICK = 200
"""Programs that are added to the log at a time, of all hosts: 800 a second."""
_COMMAND_MAX = 400
_ARGUMENTS_MAX = 64
_LOGGED_MAX = 1_000
"""Running programs of a host of which the log is told how they end."""


class MergedLog:
    """Makes rows of what hosts offer. `left_out` counts the programs for which there was no room."""

    def __init__(self) -> None:
        self.left_out = 0
        self._next = 0

    def rows(self, hosts: Iterable[Host]) -> list[LogRow]:
        """Return the rows to add, oldest first, and let the rest be left out."""
        offering = [host for host in hosts if host.failed or host.started]
        rows: list[LogRow] = []
        left = ROWS_A_TICK
        # Those that offer least first: what they leave of their share is for the others.
        for at, host in enumerate(sorted(offering, key=lambda one: len(one.failed) + len(one.started))):
            share = max(1, left // (len(offering) - at))
            lines = [*host.failed][-share:]
            if len(lines) < share and host.started:
                lines += [*host.started][len(lines) - share :]
            self.left_out += len(host.failed) + len(host.started) - len(lines) + host.left_out
            host.left_out = 0
            host.failed.clear()
            host.started.clear()
            left -= len(lines)
            rows += filter(None, [self._row(host, line) for line in lines])
            host.early_ends.clear()
        rows.sort(key=lambda row: row.time)
        return rows

    def ends(self, hosts: Iterable[Host]) -> list[EndRow]:
        """Return how programs of the log have ended."""
        ends: list[EndRow] = []
        for host in hosts:
            for number, line in host.ends:
                try:
                    ending: SeenEnding = ending_decoder.decode(line)
                except (ValueError, RecursionError):
                    continue
                signal = None if ending.signal is None else escape(ending.signal)[:20]
                ends.append(EndRow(number, ending.code, signal, ending.duration_s))
            host.ends.clear()
            ends += (EndRow(number, None, None, None) for number in host.vanished)
            host.vanished.clear()
        return ends

    def _row(self, host: Host, line: bytes) -> LogRow | None:
        try:
            seen: SeenProgram = program_decoder.decode(line)
        except (ValueError, RecursionError):
            return None
        number, self._next = self._next, self._next + 1
        key = seen.pid, seen.start_ns
        if seen.ret == 0 and key in host.early_ends:
            host.ends.append((number, host.early_ends[key]))
        elif seen.ret == 0:
            host.logged[key] = number
            while len(host.logged) > _LOGGED_MAX:
                del host.logged[next(iter(host.logged))]
        return LogRow(
            number,
            host.name,
            seen.time,
            seen.pid,
            seen.start_ns,
            seen.ret,
            None if seen.error is None else escape(seen.error)[:40],
            seen.uid,
            None if seen.user is None else escape(seen.user)[:256],
            escape(seen.comm)[:64],
            _command(seen),
        )


def _command(seen: SeenProgram) -> str:
    words: Sequence[str] = [word[:_COMMAND_MAX] for word in seen.argv[:_ARGUMENTS_MAX]] or [seen.file[:_COMMAND_MAX]]
    line = escape(shell_line(words))
    return line if len(line) <= _COMMAND_MAX else f"{line[:_COMMAND_MAX]}…"
