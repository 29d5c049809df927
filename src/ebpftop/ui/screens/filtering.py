"""The filter of the main screen: one for all panes, applied in the kernel from now on, and here to what is shown."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from ebpftop.core.source import FilterUnsupported, Source, SourceError
from ebpftop.filters.spec import Filter
from ebpftop.filters.stack import FilterLevel, FilterStack, label_of
from ebpftop.models.filter_match import ViewFilter
from ebpftop.models.requests import LatestRequests


class FilterHost(Protocol):
    """What the controller needs of the screen that owns it. But for `post`, it is called on the screen's thread."""

    def describe(self) -> None:
        """Bring everything around the panes up to date."""

    def notify_of(self, message: str, *, title: str = "", is_warning: bool = False) -> None:
        """Show a message."""

    def notify_of_error(self, error: Exception, title: str) -> None:
        """Show what failed."""

    def run_filtering(self, work: Callable[[], None]) -> None:
        """Run *work* in a thread."""

    def post(self, do: Callable[[], None]) -> None:
        """Have *do* called on the screen's thread. Any thread may call this."""


class FilterController:
    """The levels of the filter, and the source that applies them: it may take time, and it may refuse."""

    def __init__(
        self, source: Source, show: Callable[[ViewFilter], None], host: FilterHost, initial: Filter | None = None
    ) -> None:
        """*show* lets the panes show what matches; the source applies *initial* already."""
        self.stack = FilterStack(initial)
        self.requests: LatestRequests[str, Filter] = LatestRequests()
        self._source = source
        self._show = show
        self._host = host
        self._applied: tuple[Filter, float] | None = None
        """What the source applied last, and since when."""

    @property
    def has_changed(self) -> bool:
        """Whether the filter was another one than that of the command line at any time."""
        return self._applied is not None

    def push(self, step: FilterLevel) -> None:
        """Filter further, by *step*."""
        wanted, notes = self._source.resolve(step.filter)
        if notes:
            step = FilterLevel(label_of(wanted), wanted)
            self._host.notify_of("; ".join(notes), title="A thread was named")
        self.stack.push(step)
        self._changed()

    def pop(self) -> bool:
        """Clear the newest level; False if there is none."""
        step = self.stack.pop()
        if step is not None:
            self._changed()
        return step is not None

    def toggle(self, kind: str, step: FilterLevel | None, what: str) -> None:
        """Filter by *step*, which the row of *what* gives; clear the newest level if it already is of this *kind*."""
        steps = self.stack.levels
        if steps and getattr(steps[-1].filter, kind):
            self.pop()
        elif step is not None:
            self.push(step)
        else:
            self._host.notify_of(f"Choose the row of {what} first: j and k move")

    def _changed(self) -> None:
        self._show(ViewFilter(self.stack.filter))
        self._host.describe()
        if self.requests.put("filter", self.stack.filter):
            self._host.run_filtering(self._apply_requests)

    def _apply_requests(self) -> None:
        """Apply the filter that was requested last in the source."""
        try:
            for _, wanted in self.requests:
                self._apply(wanted)
        except BaseException:
            self.requests.drop()
            raise

    def _apply(self, wanted: Filter) -> None:
        if self._applied is None or self._applied[0] != wanted:
            try:
                self._applied = wanted, self._source.set_filter(wanted)
            except FilterUnsupported:
                return
            except SourceError as error:
                self._host.post(partial(self._refused, wanted, error))
                return
            except Exception as error:  # noqa: BLE001  # raised again by `_failed`: what is not in force must not be shown
                self._applied = None
                self._host.post(partial(self._failed, wanted, error))
                return
        self._host.post(partial(self._in_force, *self._applied))

    def _in_force(self, wanted: Filter, since: float) -> None:
        if wanted == self.stack.filter:
            self._show(ViewFilter(wanted, since))

    def _refused(self, wanted: Filter, error: SourceError) -> None:
        self._host.notify_of_error(error, "The filter stays as it is")
        if wanted == self.stack.filter:
            self.pop()

    def _failed(self, wanted: Filter, error: Exception) -> None:
        if wanted == self.stack.filter:
            self.pop()
        raise error
