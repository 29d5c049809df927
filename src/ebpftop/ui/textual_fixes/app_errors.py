"""Errors in the screen's own code: each is logged with its traceback, reported once, and survived.

Textual ends the app on any exception, and before that the loop of the widget that raised it. Here the exception stops
where the widget's loop calls the code for a message, a callback or a frame: only that call fails, the widget goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from rich.segment import Segment
from rich.style import Style
from textual._callback import invoke
from textual._context import active_app, active_message_pump
from textual.app import App
from textual.dom import NoScreen
from textual.driver import Driver
from textual.geometry import Region
from textual.message import Message
from textual.message_pump import MessagePump
from textual.notifications import Notification, Notify, SeverityLevel
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import WorkerFailed

from ebpftop.core.escape import escape
from ebpftop.lifecycle.limit_errors import explain

if TYPE_CHECKING:
    from types import TracebackType

    from textual._types import CallbackType

log = logging.getLogger(__name__)

_NOTICE_CHARACTERS = 200


class ErrorCounts:
    """How often each error happened: the same type from the same line is the same error. Any thread counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[type[BaseException], str, int], int] = {}

    def add(self, error: BaseException) -> int:
        """Count *error*, and return how often it has happened."""
        file, line = _origin(error.__traceback__)
        key = type(error), file, line
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1
            return self._counts[key]


def _origin(traceback: TracebackType | None) -> tuple[str, int]:
    """Return file and line that raised."""
    last = _last(traceback)
    return ("", 0) if last is None else (last.tb_frame.f_code.co_filename, last.tb_lineno)


def _last(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error* and its causes. Textual wraps an error of a timer in one of its own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _raised_by(error: BaseException) -> Widget | None:
    """Return the widget whose own method raised *error*."""
    last = _last(error.__traceback__)
    node = None if last is None else last.tb_frame.f_locals.get("self")
    return node if isinstance(node, Widget) else None


def summary(error: BaseException) -> str:
    """Return *error* in one line that is safe to draw."""
    text = escape(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return text if len(text) <= _NOTICE_CHARACTERS else text[: _NOTICE_CHARACTERS - 1] + "…"


class SurvivingApp(App[int]):
    """An app that no exception ends, except one before its first frame."""

    def __init__(self, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class=driver_class)
        self._looping = False
        self._opened = False
        self.unopened: WeakSet[MessagePump] = WeakSet()
        """Screens that were not composed, or dismissed before that: other errors in them are only consequences."""
        self._error_counts = ErrorCounts()
        self._hooks_before: tuple[Any, Any] | None = None

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a notice. It is never markup, whatever *markup* says: a hostile program may have written part of it."""
        message = "\n".join(map(escape, message.split("\n")))
        super().notify(message, title=escape(title), severity=severity, timeout=timeout, markup=False)

    def on_notify(self, event: Notify) -> None:
        """Remove earlier notices about the same thing; Textual's own handler then adds this one."""
        about = _about(event.notification)
        for earlier in list(self._notifications):
            if _about(earlier) == about:
                self._unnotify(earlier, refresh=False)

    def offer(self, message: str, label: str, action: str, after: str, timeout_s: float) -> None:
        """Show a notice in which a click on *label* runs *action*, a constant of the program."""
        # Textual's own `escape` leaves a bracket that no other closes.
        before, behind = (text.replace("[", r"\[") for text in (escape(message), escape(after)))
        super().notify(f"{before}[@click={action}]{label}[/]{behind}", timeout=timeout_s, markup=True)

    @property
    def survives(self) -> bool:
        """Whether an exception is only reported: from when the main screen is complete until the app has ended."""
        if not self._opened:
            self._opened = bool(self._screen_stack) and self._screen_stack[0].is_mounted
        return (self._looping and self._opened) or self._exit

    def report_error(self, error: BaseException, where: str) -> None:
        """Log *error* with its traceback, and report it the first time that it happens. Any thread may call it."""
        if isinstance(error, WorkerFailed):
            error = error.error
        if self._has_gone(error):
            return
        count = self._error_counts.add(error)
        if count == 1:
            log.error("%s in %s", summary(error), where, exc_info=error)
            if not self._exit:
                limit = next(filter(None, map(explain, _reasons(error))), None)
                self.notify(
                    f"{limit or summary(error)}. The screen goes on; ! shows what happened",
                    title="A limit of the machine" if limit else "An error of ebpftop itself",
                    severity="error",
                    timeout=10,
                )
        elif str(count).strip("0") == "1":
            log.error("%s: %d times by now", summary(error), count)

    def _has_gone(self, error: BaseException) -> bool:
        """Whether *error* only means that the widget whose code runs here is no longer on the screen.

        A message that reaches it later, such as a click, has no receiver: Textual first asks for the widget's screen.
        The same holds for callbacks that the widget left with another one, usually the app.
        """
        pump = active_message_pump.get(None)
        above = pump.ancestors_with_self if isinstance(pump, Widget) else []
        if any(node in self.unopened for node in above):
            return True
        without = [reason for reason in _reasons(error) if isinstance(reason, NoScreen)]
        if above and without and not any(isinstance(node, Screen) for node in above):
            return True
        return any(asked.is_mounted and not asked.is_attached for asked in map(_raised_by, without) if asked)

    def _handle_exception(self, error: Exception) -> None:
        """Textual calls this for what its own guards caught: timers, workers, layout, composing."""
        if not self.survives:
            super()._handle_exception(error)
            return
        pump = active_message_pump.get(None)
        self.report_error(error, f"{type(pump).__name__}: a timer, a worker, composing or the layout")
        if isinstance(pump, Screen) and not pump.is_mounted:
            # It could not be composed, so it has no key that leads back.
            self.unopened.add(pump)
            self.call_later(self._take_back, pump)

    def _take_back(self, screen: Screen[Any]) -> None:
        if len(self.screen_stack) > 1 and self.screen is screen:
            self.pop_screen()

    async def _process_messages_loop(self) -> None:
        self._looping = True
        asyncio.get_running_loop().set_exception_handler(self._task_failed)
        self._hooks_before = threading.excepthook, sys.unraisablehook
        threading.excepthook = self._thread_failed
        sys.unraisablehook = self._cleanup_failed
        try:
            await super()._process_messages_loop()
        finally:
            threading.excepthook, sys.unraisablehook = self._hooks_before
            self._looping = False

    def _task_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.report_error(error, str(context.get("message", "a task")))
        else:
            log.error("%s", escape(str(context.get("message"))))

    def _thread_failed(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self.report_error(args.exc_value, f"thread {args.thread.name if args.thread else '?'}")

    def _cleanup_failed(self, args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            self.report_error(args.exc_value, args.err_msg or "a finaliser")


def _surviving_app() -> SurvivingApp | None:
    """Return the app whose code runs here, if it survives errors."""
    app = active_app.get(None)
    return app if isinstance(app, SurvivingApp) and app.survives else None


def report(error: Exception, where: str) -> None:
    """Report *error* to the app that runs here; raise it if there is none."""
    app = _surviving_app()
    if app is None:
        raise error
    app.report_error(error, where)


@contextmanager
def surviving(where: str) -> Iterator[None]:
    """Report an exception that is raised inside, and continue after the block."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is
        report(error, where)


_Dispatch = Callable[[MessagePump, Message], Awaitable[None]]
_Draw = Callable[[Any, Region], list[Strip]]


def _guard_dispatch(dispatch: _Dispatch) -> _Dispatch:
    """Handlers, actions, validators, watchers: all code that a message runs."""

    @wraps(dispatch)
    async def guarded(pump: MessagePump, message: Message) -> None:
        try:
            await dispatch(pump, message)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"{type(pump).__name__} at {type(message).__name__}")

    return guarded


def _guard_callback(callback: CallbackType) -> Callable[[], Awaitable[None]]:
    """Callbacks that Textual runs one after the other: it drops those that follow one that fails."""

    async def guarded() -> None:
        with surviving(f"callback {getattr(callback, '__qualname__', callback)}"):
            await invoke(callback)

    return guarded


def guard_drawing(draw: _Draw) -> _Draw:
    """Show a message in place of a widget that cannot be drawn: otherwise Textual would try again in every frame."""

    @wraps(draw)
    def guarded(widget: Widget, crop: Region) -> list[Strip]:
        try:
            return draw(widget, crop)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"drawing {type(widget).__name__}")
            style = Style(color="red", reverse=True)
            text = f" cannot be drawn: {summary(error)}; ! shows what happened"
            words = Strip([Segment(text[: crop.right], style)]).adjust_cell_length(crop.right)
            blank = Strip.blank(crop.width)
            return [words.crop(crop.x, crop.right) if y == 0 else blank for y in crop.line_range]

    return guarded


def _install() -> None:
    """Put the guards around Textual's own methods: its widgets (footer, inputs, palette, toasts) may fail as well."""
    call_next, invoke_later, refresh = MessagePump.call_next, Screen._invoke_later, Screen._compositor_refresh

    def guarded_call_next(pump: MessagePump, callback: Any, *args: Any, **kwargs: Any) -> None:
        call_next(pump, _guard_callback(lambda: callback(*args, **kwargs)))

    def guarded_invoke_later(screen: Screen[Any], callback: CallbackType, sender: MessagePump) -> None:
        invoke_later(screen, _guard_callback(callback), sender)

    def guarded_refresh(screen: Screen[Any]) -> None:
        try:
            refresh(screen)
        except Exception as error:  # noqa: BLE001  # whatever it is
            report(error, f"drawing {type(screen).__name__}")
            # What stays marked as dirty would be drawn again at once, for ever.
            screen._dirty_widgets.clear()
            screen._compositor._dirty_regions.clear()

    patched: list[tuple[type, str, Any]] = [
        (MessagePump, "_dispatch_message", _guard_dispatch(MessagePump._dispatch_message)),
        (MessagePump, "call_next", guarded_call_next),
        (Screen, "_invoke_later", guarded_invoke_later),
        (Screen, "_compositor_refresh", guarded_refresh),
        (Widget, "render_lines", guard_drawing(Widget.render_lines)),
    ]
    for owner, name, method in patched:
        setattr(owner, name, method)


_install()


def _about(notice: Notification) -> tuple[str, str, str]:
    """Return what a notice is about: what stands before the colon, or all of it if it is a problem."""
    if notice.severity == "information" and not notice.title:
        return notice.severity, "", notice.message.split(": ")[0]
    return notice.severity, notice.title, notice.message
