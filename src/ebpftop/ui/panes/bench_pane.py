"""A pane of the workbench: a title without a number, with tabs for what it can show, above one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual.app import ComposeResult

from ebpftop.ui.panes.title import Count, Part, Title, TitledPane, joined
from ebpftop.ui.widgets.columns import Span, layout_cell
from ebpftop.ui.widgets.row_view import RowView

_BETWEEN = "·"


@dataclass(frozen=True)
class BenchTitle(Title):
    """What a title says: the label, the tabs, of which one is `chosen`, and counts as far as they fit."""

    chosen: str = ""
    is_below_tabs: bool = False
    """Whether a line of tabs above it has the label."""

    def spans(self, width: int, *, focused: bool) -> list[Span]:
        head = self._head(width, focused=focused)
        lost = [Span(f"  lost {self.lost}", "warn")] if self.lost else []
        used = sum(cell_len(span.text) for span in (*head, *lost))
        right = next((span for span in self.right if used + cell_len(span.text) + 2 <= width), Span(""))
        room = width - used - (cell_len(right.text) + 2 if right.text else 0)
        text = next((text for text in self._texts() if cell_len(text) + 2 <= room), "")
        gap = "" if self.is_below_tabs and not self.chosen else "  "
        left = [*head, Span(f"{gap}{text}" if text else "", "dim"), *lost]
        if not right.text:
            return layout_cell(left, width)
        return [*layout_cell(left, width - cell_len(right.text) - 1), right, Span(" ")]

    def _texts(self) -> Sequence[str]:
        """Return what the counts say, the longest first."""
        by_rank = sorted(range(len(self.counts)), key=lambda at: self.counts[at].rank)
        return [joined([self.counts[at] for at in sorted(by_rank[:n])]) for n in range(len(self.counts), 0, -1)]

    def _head(self, width: int, *, focused: bool) -> list[Span]:
        head = [Span("▸" if focused else " ", "focus"), Span(self.label, "focus" if focused else "label")]
        if self.is_below_tabs:
            head = [Span(" ")]  # a tab says it already
        if not self.chosen:
            return head
        gap = [Span("  ")] if self.label and not self.is_below_tabs else []
        one = [*gap, Span(self.chosen, "number")]
        if len(self.tabs) < 2:
            return [*head, *one]
        tabs = [part for tab in self.tabs for part in (self._tab(tab), Span(_BETWEEN, "dim"))]
        whole = [*head, *gap, *tabs[:-1]]
        if sum(cell_len(span.text) for span in whole) + self._least <= width:
            return whole
        others = len(self.tabs) - 1
        return [*head, *one, Span(f" +{others}", "dim")]

    @property
    def _least(self) -> int:
        """The cells of the most important count."""
        texts = self._texts()
        return cell_len(texts[-1]) + 2 if texts else 0

    def _tab(self, tab: str) -> Span:
        """Return a tab; brackets show which one is chosen where colours do not."""
        return Span(f"[{tab}]", "number") if tab == self.chosen else Span(tab, "dim")

    def tab_at(self, x: int, width: int) -> str:
        end = 0
        for at, span in enumerate(self._head(width, focused=False)):
            end += cell_len(span.text)
            if x < end:
                tab = self.chosen if span == self._tab(self.chosen) else span.text
                return tab if at > (0 if self.is_below_tabs else 1) and tab in self.tabs else ""
        return ""

    def part_at(self, x: int, width: int) -> Part:
        return "other"


class BenchPane(TitledPane):
    """One pane: its list, and a title."""

    def __init__(self, label: str, lines: RowView[Any], *, id: str) -> None:
        super().__init__(id=id)
        self.label = label
        self.lines = lines
        self.is_below_tabs = False

    def compose(self) -> ComposeResult:
        yield self.lines

    def entitle(
        self,
        counts: Sequence[Count],
        *,
        tabs: Sequence[str] = (),
        chosen: str = "",
        lost: str = "",
        right: Sequence[Span] = (),
    ) -> None:
        """Show these words in the title."""
        self._entitle(
            BenchTitle(
                0, self.label, Span(""), tuple(counts), lost, tuple(right), tuple(tabs), chosen, self.is_below_tabs
            )
        )
