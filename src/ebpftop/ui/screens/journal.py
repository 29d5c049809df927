"""The last lines of the log, for the diagnostics screen."""

from __future__ import annotations

import logging
from collections import deque

# Characters of a line in the journal: the text of an error may contain a program's output.
_LONGEST_LINE = 1000


class Journal(logging.Handler):
    """Keeps log lines."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self.lines = lines
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.extend(line[:_LONGEST_LINE] for line in self.format(record).splitlines())
