"""One question: which system calls to trace, and on which condition. A key answers it, or Enter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.input import Selection
from textual.widgets.option_list import Option

from ebpftop.core.escape import escape
from ebpftop.core.syscall_records import Abi
from ebpftop.models.asked import Asked
from ebpftop.models.trace_question import Choice, Question, meaning, problem
from ebpftop.ui.panes.handling import Told
from ebpftop.ui.screens.ready import ReadyScreen
from ebpftop.ui.widgets.keyline import KeyLine
from ebpftop.ui.widgets.sheet_title import SheetTitle

if TYPE_CHECKING:
    from typing_extensions import Self

Answer: TypeAlias = Callable[[str, Asked, Told], None]
"""Is given what is traced from now on (empty: something is stopped), all that is asked then, and who waits for it."""

SHORT = 18
"""Lines of a terminal below which all lines are needed."""

_STOP = Choice("T", "stop", "")
_NOTHING = Question("", "", (), "")


class TraceScreen(ReadyScreen[str]):
    """Closes with what is traced from now on, as `--trace` has it; with nothing if something was stopped, or not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "answer", "Trace", key_display="⏎", id="question.answer", priority=True),
        Binding("T", "default", "Default", show=False, tooltip="What is proposed, or stop it", id="question.default"),
        Binding("a", "choose('a')", "All", show=False, tooltip="Each call", id="question.all"),
        Binding("f", "choose('f')", "Failed", show=False, tooltip="Those that fail", id="question.failed"),
        Binding("s", "choose('s')", "Slower", show=False, tooltip="Those that take longer", id="question.slower"),
        Binding("e", "choose('e')", "Errno", show=False, tooltip="Those that return this", id="question.errno"),
        Binding("p", "choose('p')", "Path", show=False, tooltip="Those with this path", id="question.path"),
        Binding("P", "choose('P')", "Process", show=False, tooltip="Those of this process", id="question.process"),
        Binding("tab", "other(1)", "Choice, calls, text", key_display="⇥", id="question.next", priority=True),
        Binding("shift+tab", "other(-1)", "Back", show=False, id="question.previous", priority=True),
        Binding("j", "cursor(1)", "Down", show=False, id="lines.down"),
        Binding("k", "cursor(-1)", "Up", show=False, id="lines.up"),
        Binding("escape", "dismiss", "Back", key_display="Esc", id="question.back"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.question = _NOTHING
        self._asked = Asked()
        self._abis: Sequence[Abi] = ()
        self._answer: Answer = lambda _text, _asked, _told: None
        self._rows: tuple[Choice, ...] = ()
        self._typed = ""
        """The text that is not that of a choice: it was typed."""
        self._waits = 0
        """Which answer is waited for; those of questions before do not count."""

    def fill(self, question: Question, asked: Asked, abis: Sequence[Abi], answer: Answer) -> Self:
        """Ask *question* when this screen is pushed the next time; *asked* is what is asked already."""
        self.question, self._asked, self._abis, self._answer = question, asked, abis, answer
        self.filled()
        return self

    def let_go(self) -> None:
        self.question, self._rows, self._asked = _NOTHING, (), Asked()

    def compose(self) -> ComposeResult:
        self._title = SheetTitle()
        yield self._title
        with Vertical(classes="sheet question") as self._box:
            with Horizontal():
                yield Static("CALLS     ", classes="question-label", markup=False)
                self._calls = Input(placeholder="openat, open*, %file, all", compact=True)
                yield self._calls
            self._options = OptionList(compact=True, markup=False)
            yield self._options
            with Horizontal():
                yield Static("--trace   ", classes="question-label", markup=False)
                self._line = Input(select_on_focus=False, compact=True)
                yield self._line
            self._message = Static(classes="question-note", markup=False)
            yield self._message
        for field in (self._calls, self._line):
            field.cursor_blink = False
        yield KeyLine()

    @property
    def varying(self) -> tuple[Widget, ...]:
        return self._options, self._message, self._box

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """Leave out the empty lines if there is no room for them."""
        self.set_class(self.app.size.height < SHORT, "-short")

    def show_filled(self) -> None:
        self._fit()
        asked = self.question
        self._waits += 1
        self._rows = (*((_STOP,) if asked.stops else ()), *asked.choices)
        self._title.set_name(f"Trace {asked.about}", "")
        with self.prevent(Input.Changed):
            self._calls.value = asked.calls
        self._options.set_options(Option(self._words(choice)) for choice in self._rows)
        default = _STOP.key if asked.stops else asked.default
        self._options.highlighted = next(at for at, choice in enumerate(self._rows) if choice.key == default)
        self._options.scroll_to(y=0, animate=False, immediate=True)
        self._show_choice()
        self.set_focus(self._options)

    def _words(self, choice: Choice) -> Content:
        value = choice.condition.lstrip(">").removeprefix("pid=") if not choice.is_final else ""
        about = choice.about
        if choice is _STOP:
            value, about = ",".join(item.text for item in self.question.stops), "is traced now: T, or Enter, stops it"
        return Content.assemble(
            (f"{choice.key}  ", "$primary bold"),
            (f"{choice.label:<13}", "bold" if choice.is_final else ""),
            (f"{escape(value)}  " if value else "", "bold"),
            (escape(about), "$dim"),
        )

    @property
    def _choice(self) -> Choice:
        return self._rows[self._options.highlighted or 0]

    def _show_choice(self) -> None:
        """Show what the chosen condition means, as text."""
        choice = self._choice
        text = "" if choice is _STOP else self.question.text(self._calls.value, choice.condition)
        with self.prevent(Input.Changed):
            self._line.value = text
        self._line.cursor_position = len(text)
        self._show_meaning()

    def _show_meaning(self) -> None:
        if self._is_stop:
            left = self._asked.without(self.question.stops).text(self._abis)
            self._note(f"Stops it; traced on: {left}" if left else "Stops it; nothing is traced then")
        elif trouble := self._trouble:
            self._note(trouble, bad=True)
        else:
            self._note(f"{meaning(self._line.value, self._abis)}. Enter traces it")

    @property
    def _is_stop(self) -> bool:
        return not self._line.value.strip() and self._choice is _STOP and self.focused is not self._line

    @property
    def _trouble(self) -> str:
        return problem(self._line.value, self._asked, self._abis)

    def _note(self, text: str, *, bad: bool = False) -> None:
        self._message.update(Content.styled(escape(text), "$error" if bad else "$dim"))

    # Keys.

    def action_answer(self) -> None:
        if self._is_stop:
            self._put("", self._asked.without(self.question.stops))
        elif trouble := self._trouble:
            self._note(trouble, bad=True)
        else:
            text = self._line.value.strip().strip(",")
            self._put(text, self._asked.asking(text, self._abis))

    def _put(self, text: str, asked: Asked) -> None:
        self._waits += 1
        waits = self._waits
        self._note("asking the kernel …")

        def told(refused: str) -> None:
            if self._waits != waits or not self.is_current:
                if refused:
                    self.app.notify(refused, title="Not traced", severity="warning")
            elif refused:
                self._note(refused, bad=True)
            else:
                self.dismiss(text)

        self._answer(text, asked, told)

    def action_default(self) -> None:
        """Do what was proposed when it opened."""
        self._highlight(_STOP.key if self.question.stops else self.question.default)
        self._show_choice()
        self.action_answer()

    def action_choose(self, key: str) -> None:
        """Choose a condition; if it has a value, let that be changed first."""
        self._highlight(key)
        self._show_choice()
        choice = self._choice
        if choice.is_final:
            self.action_answer()
            return
        self.set_focus(self._line)
        text = self._line.value
        start = text.find(choice.condition) + (1 if key == "s" else 4 if key == "P" else 0)
        self._line.selection = Selection(start, start + len(choice.condition.lstrip(">").removeprefix("pid=")))
        self._show_meaning()

    def _highlight(self, key: str) -> None:
        with self.prevent(OptionList.OptionHighlighted):
            self._options.highlighted = next(at for at, choice in enumerate(self._rows) if choice.key == key)

    def action_other(self, step: int) -> None:
        fields: list[Widget] = [self._options, self._calls, self._line]
        at = fields.index(self.focused) if self.focused in fields else 0
        self.set_focus(fields[(at + step) % len(fields)])

    def action_cursor(self, step: int) -> None:
        if step > 0:
            self._options.action_cursor_down()
        else:
            self._options.action_cursor_up()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if self._rows and self.focused is self._options:
            self._show_choice()

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        choice = self._rows[event.option_index]
        if choice is _STOP:
            self.action_default()
        else:
            self.action_choose(choice.key)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input is self._calls:
            if self._choice is _STOP:
                self._highlight(self.question.default)
            self._show_choice()
        else:
            self._show_meaning()
