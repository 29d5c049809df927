"""The settings: a row for each, and for each table of them. Names are those of the options, where there is one.

What is in the file, `--print-config`, the settings screen and docs/settings.md derive from these rows.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from msgspec import Struct

from ebpftop.core.memory_budget import DEFAULT_MIB
from ebpftop.core.theme_names import AUTO, THEME_NAMES
from ebpftop.settings import values
from ebpftop.settings.kinds import FLAG, Kind, Wrong, choice, listed, number, optional, word, words, wrong
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT

Value = TypeVar("Value")
Path = tuple[str, ...]
"""The keys that lead to a value: ``("interval",)``, ``("sort", "users")``."""

NARROWEST, WIDEST = 3, 200
"""Cells of a column."""


class Setting(Struct, Generic[Value], frozen=True):
    """One setting, and the option of this name, if a command has it; *argument* makes its value of the setting's."""

    name: str
    group: str
    kind: Kind[Value]
    default: Value
    about: str
    argument: Callable[[Value], object] = lambda value: value

    @property
    def path(self) -> Path:
        return (self.name,)

    @property
    def dest(self) -> str:
        """What argparse calls it."""
        return self.name.replace("-", "_")


class Table(Struct, frozen=True):
    """Settings with names of their own: *entry* is the kind of each."""

    name: str
    entry: Kind[Any]
    about: str
    example: str


def _calls(text: str) -> object:
    from ebpftop.syscalls import abi

    try:
        return abi.resolve_list(text, abi.all_abis(platform.machine()))
    except abi.UnknownSyscall as error:
        raise Wrong(str(error)) from error


def _traced(text: str) -> object:
    from ebpftop.syscalls import abi
    from ebpftop.syscalls.tracing import parse_trace

    try:
        return parse_trace(text, abi.all_abis(platform.machine()))
    except ValueError as error:
        raise Wrong(str(error)) from error


def _speed(value: object) -> str:
    text = "" if isinstance(value, bool) else f"{value:.12g}" if isinstance(value, float) else str(value)
    try:
        values.speed(text)
    except ValueError as error:
        raise Wrong(str(error)) from error
    return text


_ONE_EXPRESSION = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^;])+""")


def _expressions(value: object) -> list[str]:
    from ebpftop.filters.expression_tokens import ExpressionError
    from ebpftop.models.watch import compile_watch

    texts: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str):
            raise wrong(one, _EXPRESSION)
        try:
            compile_watch(one)
        except ExpressionError as error:
            raise Wrong(f"{one!r}: {error.reason}") from error
        texts.append(one)
    return texts


def _watches(texts: list[str]) -> object:
    from ebpftop.models.watch import compile_watch

    return [compile_watch(text) for text in texts]


_EXPRESSION = "an expression over records, as in exit.signal == 'SIGSEGV'"

THEME = Setting("theme", "screen", choice(*THEME_NAMES), AUTO, "colours; auto: dark or light, as the terminal is")
CLOCK = Setting("clock", "screen", choice("local", "utc"), "local", "times of day: of this machine's zone, or UTC")
MOUSE = Setting("mouse", "screen", FLAG, True, "clicks, the wheel and drags; without it they are the terminal's")
ASCII = Setting("ascii", "screen", FLAG, False, "draw with ASCII only, for terminals without other characters")
LAYOUT = Setting("layout", "screen", choice("all", "logs", "calls", "users"), "all", "which panes are shown")
VIEW = Setting(
    "view",
    "screen",
    choice("users", "units", "containers", "cgroups", "programs", "errnos"),
    "users",
    "what the second pane puts together: v shows the next",
)
GRAPHS = Setting("graphs", "screen", FLAG, True, "graphs of the machine above the panes, where there is room")
WRAP = Setting("wrap", "screen", FLAG, False, "long commands and messages go on in further lines, in all lists")
CONFIRM = Setting("confirm", "screen", FLAG, False, "a probe's key asks first: press it twice to attach or detach")
REMEMBER = Setting("remember", "screen", FLAG, True, "keep what changes on the screen: theme, columns, sort, interval")
INTERVAL = Setting(
    "interval",
    "reading",
    optional(number(values.interval, "a number of seconds from 0.05 to 3600")),
    None,
    "seconds between readings of the counters",
)
KEEP = Setting(
    "keep", "history", number(values.minutes, "a number of minutes from 0.5 to 1440"), 15.0, "minutes of history"
)
HISTORY = Setting(
    "history",
    "history",
    optional(number(values.mebibytes, "a whole number of MiB from 4 to 65536")),
    None,
    "MiB of history at most",
)
MEMORY = Setting(
    "memory",
    "history",
    number(values.memory, "a whole number of MiB from 32 to 65536"),
    DEFAULT_MIB,
    "MiB for all that the screen keeps",
)
SPEED = Setting("speed", "history", Kind(_speed, "max or a number above 0", typed=str), "1", "speed of a recording")
PROBES: Setting[str | None] = Setting(
    "probes",
    "reading",
    words(values.probes, "names of probes"),
    None,
    "probes that are attached at the start",
    argument=lambda names: None if names is None else values.probes(names),
)
LATENCY = Setting("latency", "reading", FLAG, True, "time system calls and count their errors")
FAILURES = Setting(
    "failures",
    "reading",
    choice("folded", "all", "only", "none", "off", flags={True: "folded", False: "off"}),
    "folded",
    "execve calls that fail: folded, all, only them, hidden, or not watched at all",
    argument=lambda shown: shown != "off",
)
IGNORE = Setting(
    "ignore", "reading", words(_calls, "names of system calls"), None, "system calls neither counted nor timed"
)
TRACE = Setting(
    "trace",
    "reading",
    words(_traced, "system calls, as in openat:failed,%net"),
    None,
    "report each of these system calls",
)
TRACE_LIMIT = Setting(
    "trace-limit",
    "reading",
    number(values.per_second, f"a whole number from 1 to {values.TRACE_LIMIT_MAX}"),
    DEFAULT_TRACE_LIMIT,
    "traced calls that each CPU reports a second",
)
PRINTK = Setting("printk", "reading", FLAG, False, "let handlers of system calls print into the trace log")
BUFFER = Setting("buffer", "reading", choice("auto", "ring", "perf"), "auto", "the kernel's buffer of events")
_EVENT = "PROBE=EVENT, as in users=tracepoint"
ATTACH: Setting[list[tuple[str, str]]] = Setting(
    "attach", "reading", listed(values.attach_option, _EVENT, write="=".join), [], "attach a probe there, nowhere else"
)
WHEN: Setting[list[str]] = Setting(
    "when",
    "watch",
    Kind(
        _expressions,
        f"{_EXPRESSION}; several: with ; between them",
        typed=lambda text: [one.strip() for one in _ONE_EXPRESSION.findall(text) if one.strip()],
        between="; ",
    ),
    [],
    "what to look out for: it is marked and told",
    argument=_watches,
)
UID = Setting("uid", "filter", listed(values.uid, "a uid or a user's name", write=int), [], "only these users")
PID = Setting(
    "pid",
    "filter",
    listed(values.number("a process id", 1 << 22), "a process id", write=int),
    [],
    "only these processes and their descendants",
)
COMM = Setting("comm", "filter", listed(values.comm, "a command name"), [], "only these commands; NAME* for a prefix")
CGROUP = Setting("cgroup", "filter", listed(values.cgroup, "the path of a cgroup"), [], "only these cgroups")
CONTAINER = Setting("container", "filter", listed(values.container, "a container"), [], "only these containers")
HIDE_SELF = Setting("hide-self", "filter", FLAG, True, "leave ebpftop's own calls out")

SETTINGS: tuple[Setting[Any], ...] = (
    *(THEME, LAYOUT, VIEW, GRAPHS, CLOCK, MOUSE, ASCII, WRAP, CONFIRM, REMEMBER),
    *(INTERVAL, PROBES, LATENCY, FAILURES, IGNORE, TRACE, TRACE_LIMIT, PRINTK, BUFFER, ATTACH),
    *(KEEP, HISTORY, MEMORY, SPEED),
    WHEN,
    *(UID, PID, COMM, CGROUP, CONTAINER, HIDE_SELF),
)

BY_NAME: Mapping[str, Setting[Any]] = {setting.name: setting for setting in SETTINGS}


class Columns(Struct, frozen=True):
    """The columns of one list: those that are shown (None: the usual ones), and widths of some in cells."""

    show: tuple[str, ...] | None = None
    widths: Mapping[str, int] | None = None


def _columns(value: object) -> Columns:
    if not isinstance(value, dict):
        raise wrong(value, "a table with show and widths")
    for key in value:
        if key not in ("show", "widths"):
            raise Wrong(f"{key!r} is not known here; allowed are show and widths")
    show, widths = value.get("show"), value.get("widths", {})
    if show is not None and not (isinstance(show, list) and show and all(isinstance(one, str) for one in show)):
        raise Wrong(f"show: {wrong(show, 'a list of names of columns')}")
    if not isinstance(widths, dict):
        raise Wrong(f"widths: {wrong(widths, 'a table of widths')}")
    for name, width in widths.items():
        if isinstance(width, bool) or not isinstance(width, int) or not NARROWEST <= width <= WIDEST:
            raise Wrong(f"widths: {name}: {wrong(width, f'a whole number from {NARROWEST} to {WIDEST}')}")
    return Columns(None if show is None else tuple(show), widths or None)


def _columns_written(columns: Columns) -> object:
    show = {} if columns.show is None else {"show": list(columns.show)}
    return {**show, **({"widths": dict(columns.widths)} if columns.widths else {})}


class PaneSize(Struct, frozen=True):
    """How a pane stands in the layout: its height is so many times the usual one."""

    hidden: bool = False
    height: float = 1.0


LOWEST, HIGHEST = 0.25, 4.0
"""Factors of the height of a pane."""


def _pane(value: object) -> PaneSize:
    if not isinstance(value, dict):
        raise wrong(value, "a table with hidden and height")
    for key in value:
        if key not in ("hidden", "height"):
            raise Wrong(f"{key!r} is not known here; allowed are hidden and height")
    hidden, height = value.get("hidden", False), value.get("height", 1.0)
    if not isinstance(hidden, bool):
        raise Wrong(f"hidden: {wrong(hidden, 'true or false')}")
    if isinstance(height, bool) or not isinstance(height, (int, float)) or not LOWEST <= height <= HIGHEST:
        raise Wrong(f"height: {wrong(height, f'a number from {LOWEST:g} to {HIGHEST:g}')}")
    return PaneSize(hidden, float(height))


def _pane_written(size: PaneSize) -> object:
    hidden = {"hidden": True} if size.hidden else {}
    return {**hidden, **({"height": size.height} if size.height != 1.0 else {})}


def _keys(value: object) -> str:
    given = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    if not given or len(given) != (len(value) if isinstance(value, list) else 1):
        raise wrong(value, 'keys, as in "f5" or ["f5", "ctrl+r"]; "" takes the key away')
    if value == "":
        return ""
    keys = [part.strip() for one in given for part in one.split(",")]
    # A name is drawn in the line of keys, so nothing in it may be a command to the terminal.
    if not all(key and key.isprintable() and " " not in key for key in keys):
        raise wrong(value, 'keys, as in "f5" or ["f5", "ctrl+r"]; "" takes the key away')
    return ",".join(keys)


SORT = Table(
    "sort", word("the name of a column, with - in front to reverse"), "sort order of each list", 'users = "uid"'
)
COLUMNS = Table(
    "columns",
    Kind(_columns, "a table with show and widths", write=_columns_written),
    "columns of each list, and their widths in cells",
    'execs = {show = ["time", "pid", "command"], widths = {command = 60}}',
)
PANES = Table(
    "panes",
    Kind(_pane, f"a table with hidden and height, {LOWEST:g} to {HIGHEST:g}", write=_pane_written),
    "panes that are hidden, or not as high as usual",
    "trace = {hidden = true}",
)
FILTERS = Table("filters", word("a filter, as it is typed after /"), "filters with names: the palette offers them",
                'compilers = "gcc|clang"')  # fmt: skip
KEYS = Table(
    "keys",
    Kind(_keys, "keys, with commas between them"),
    'keys of actions, by the ids that the help shows; "" takes the key away',
    '"help" = "f1,question_mark"',
)

TABLES: Mapping[str, Table] = {table.name: table for table in (PANES, COLUMNS, SORT, FILTERS, KEYS)}


def kind_of(path: Path) -> Kind[Any]:
    """Return the kind of the value at *path*."""
    return TABLES[path[0]].entry if path[0] in TABLES else BY_NAME[path[0]].kind


def default_of(path: Path) -> Any:
    """Return what holds if no file says otherwise; None for what has a name of its own."""
    return None if path[0] in TABLES else BY_NAME[path[0]].default
