"""A timer that ticks once ticks, however late it is.

Textual 8.2 skips ticks whose time is over when the timer's task gets to wait for them. If the machine stops the process
for longer than the timer's time just there, the only tick of one is skipped: what it should do is never done.
"""

from __future__ import annotations

from textual.timer import Timer

_run = Timer._run


async def run_to_the_last(timer: Timer) -> None:
    """Tick as often as was asked for: only one without an end may leave some out."""
    timer._skip = timer._skip and timer._repeat is None
    await _run(timer)


def install() -> None:
    """Let all timers run like this."""
    Timer._run = run_to_the_last  # type: ignore[assignment,method-assign]  # in place of Textual's
