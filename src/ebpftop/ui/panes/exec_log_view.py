"""The list of the exec log: in the order of time, or another that a key or a click on a heading chose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from ebpftop.models.exec_row import ExecRow
from ebpftop.models.ranking import ORDERS, Order
from ebpftop.ui.widgets.columns import Column, Span
from ebpftop.ui.widgets.log_view import LogView

ORDER_OF: Mapping[str, Order] = {"time": "time", "duration": "longest", "outcome": "failing", "command": "often"}
"""The order that a click on the heading of a column chooses."""


class ExecLogView(LogView[ExecRow]):
    """A log whose rows can be ranked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("less_than_sign", "order(-1)", "Order before", show=False, key_display="<", id="execs.order_before"),
        Binding(
            "greater_than_sign",
            "order(1)",
            "Order",
            show=False,
            key_display=">",
            tooltip="By time, longest, most failing, most often",
            id="execs.order",
        ),
        Binding("r", "reverse", "Reverse", show=False, tooltip="Reverse that order", id="table.reverse"),
    ]

    class OrderChosen(Message):
        """A request for another order; *ascending*: the least first."""

        def __init__(self, order: Order, *, ascending: bool = False) -> None:
            super().__init__()
            self.order = order
            self.ascending = ascending

    order: Order = "time"
    ascending = False

    def _choose(self, order: Order) -> None:
        again = order == self.order != "time"
        self.post_message(self.OrderChosen(order, ascending=again and not self.ascending))

    def clicked_header(self, column: Column[ExecRow]) -> None:
        if column.key in ORDER_OF:
            self._choose(ORDER_OF[column.key])

    def action_order(self, step: int) -> None:
        self._choose(ORDERS[(ORDERS.index(self.order) + step) % len(ORDERS)])

    def action_reverse(self) -> None:
        if self.order == "time":
            self.app.notify("In the order of time. > chooses another: longest, most failing, most often")
        else:
            self._choose(self.order)

    def action_follow(self) -> None:
        if self.order == "time":
            super().action_follow()
        else:
            self.post_message(self.OrderChosen("time"))

    def heading(self, column: Column[ExecRow]) -> Span:
        if self.order == "time" or ORDER_OF.get(column.key) != self.order:
            return super().heading(column)
        # The column is as wide as its whole title.
        title = "DUR" if column.key == "duration" else self.title_of(column)
        arrow = "▲" if self.ascending else "▼"
        return Span(arrow + title if column.right else title + arrow, "sorted")
