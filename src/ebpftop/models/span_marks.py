"""Marked moments and spans, and which two spans are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

NEAR_S = 1.0
"""A mark that is so near to another one is the same."""

SHORTEST_S = 1.0


class Marked(NamedTuple):
    """What was marked: from a moment on (Unix seconds), to another one if that is a span."""

    begin: float
    end: float | None = None


class Compared(NamedTuple):
    """The two spans that are compared: each a begin and an end (Unix seconds)."""

    a: tuple[float, float]
    b: tuple[float, float]


@dataclass
class SpanMarks:
    """The last two marks."""

    marks: list[Marked] = field(default_factory=list)

    def toggle(self, mark: Marked) -> bool:
        """Add *mark*, in place of the oldest if there are two; remove it if it is there. Return whether it is there."""
        for known in self.marks:
            if abs(known.begin - mark.begin) < NEAR_S and (known.end is None) == (mark.end is None):
                self.marks.remove(known)
                return False
        self.marks = [*self.marks, mark][-2:]
        return True

    def moments(self) -> dict[float, str]:
        """Return the moments for the timeline, and what each stands for."""
        names = "AB"[-len(self.marks) :] if self.marks else ""
        return {mark.begin: f"Marked: {name} begins here" for mark, name in zip(self._sorted(), names, strict=True)}

    def _sorted(self) -> list[Marked]:
        return sorted(self.marks, key=_begin)

    def compared(
        self, history: tuple[float, float], now: float, box: tuple[float, float] | None = None
    ) -> Compared | None:
        """Return what is compared at the moment *now*, within a *history*; None if nothing is marked.

        Two marks: A from the earlier one, to its end or to the later one; B from that, to its end or to *now*. One
        mark, or none and a *box* that is shown: B from there to its end or to *now*, A as long before. If *now* is
        before B, it goes to the end of the history. Raises ValueError if one of them would be empty; its text says
        what to do.
        """
        marks = self._sorted() or ([Marked(*box)] if box is not None else [])
        if not marks:
            return None
        last = marks[-1]
        end = last.end if last.end is not None else now if now - last.begin >= SHORTEST_S else history[1]
        if end - last.begin < SHORTEST_S:
            raise ValueError(
                "B has no length yet: it begins at the last mark. Wait a little, or mark an earlier moment"
            )
        if len(marks) > 1:
            begin = marks[0].begin
            until = min(marks[0].end or last.begin, end)
        else:
            begin, until = max(history[0], last.begin - (end - last.begin)), last.begin
        if until - begin < SHORTEST_S:
            raise ValueError("There is no history before the mark to compare with: mark a later moment")
        return Compared((begin, until), (last.begin, end))


def _begin(mark: Marked) -> float:
    return mark.begin
