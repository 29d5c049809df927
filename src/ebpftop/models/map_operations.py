"""How the operations of BCC's maps, and the commonest helpers, are written; and which kind of map has which."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from ebpftop.models.helper_words import HELPERS

_FORMS: Mapping[str, str] = {
    "lookup": ".lookup(&key)",
    "lookup_or_init": ".lookup_or_init(&key, &zero)",
    "lookup_or_try_init": ".lookup_or_try_init(&key, &zero)",
    "update": ".update(&key, &value)",
    "insert": ".insert(&key, &value)",
    "delete": ".delete(&key)",
    "increment": ".increment(key)",
    "atomic_increment": ".atomic_increment(key)",
    "call": ".call(ctx, index)",
    "perf_submit": ".perf_submit(ctx, &data, sizeof(data))",
    "perf_read": ".perf_read(cpu)",
    "ringbuf_output": ".ringbuf_output(&data, sizeof(data), 0)",
    "ringbuf_reserve": ".ringbuf_reserve(sizeof(struct data_t))",
    "ringbuf_submit": ".ringbuf_submit(data, 0)",
    "ringbuf_discard": ".ringbuf_discard(data, 0)",
    "get_stackid": ".get_stackid(ctx, 0)",
    "push": ".push(&value, 0)",
    "pop": ".pop(&value)",
    "peek": ".peek(&value)",
    "bpf_get_current_comm": "(&comm, sizeof(comm))",
    "bpf_probe_read": "(&copy, sizeof(copy), address)",
    "bpf_probe_read_kernel": "(&copy, sizeof(copy), address)",
    "bpf_probe_read_user": "(&copy, sizeof(copy), address)",
    "bpf_probe_read_str": "(text, sizeof(text), address)",
    "bpf_probe_read_kernel_str": "(text, sizeof(text), address)",
    "bpf_probe_read_user_str": "(text, sizeof(text), address)",
    "bpf_trace_printk": '("pid %d", pid)',
    "bpf_get_current_pid_tgid": "()",
    "bpf_get_current_uid_gid": "()",
    "bpf_get_current_task": "()",
    "bpf_get_smp_processor_id": "()",
    "bpf_get_prandom_u32": "()",
    "bpf_ktime_get_ns": "()",
}
"""Arguments, by the name of what is called. What begins with a dot is called of a map."""

_TABLE = ("lookup", "update", "insert", "delete", "increment", "atomic_increment", "lookup_or_try_init")
_ARRAY = ("lookup", "update", "increment", "atomic_increment")
_RING = ("ringbuf_output", "ringbuf_reserve", "ringbuf_submit", "ringbuf_discard")
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"BPF_(?:PERCPU_)?ARRAY|BPF_HISTOGRAM", _ARRAY),
    (r"BPF_PERF_OUTPUT", ("perf_submit",)),
    (r"BPF_RINGBUF_OUTPUT", _RING),
    (r"BPF_PROG_ARRAY", ("call",)),
    (r"BPF_STACK_TRACE\w*", ("get_stackid",)),
    (r"BPF_PERF_ARRAY", ("perf_read",)),
    (r"BPF_(?:QUEUE|STACK)", ("push", "pop", "peek")),
    (r"BPF_\w*", _TABLE),
)
_MEANT = {
    **dict.fromkeys(("add", "inc", "count", "plus"), "increment"),
    **dict.fromkeys(("get", "find", "read", "at"), "lookup"),
    **dict.fromkeys(("set", "put", "write", "store", "append"), "update"),
    **dict.fromkeys(("remove", "erase", "clear", "pop"), "delete"),
    **dict.fromkeys(("submit", "output", "send", "perf_output"), "perf_submit"),
    **dict.fromkeys(("reserve",), "ringbuf_reserve"),
    **dict.fromkeys(("tail_call", "jump"), "call"),
}
_CLOSE = 0.8


def declared_as(name: str, source: Sequence[str]) -> str:
    """Return the macro that declares the map *name*: ``BPF_HASH``. Empty if none does."""
    pattern = re.compile(rf"\b(BPF_\w+)\s*\((?:[^;{{}}()]*,)?\s*{re.escape(name)}\s*[,)]")
    found = next((match for line in source if (match := pattern.search(line))), None)
    return found[1] if found else ""


def operations_of(kind: str) -> tuple[str, ...]:
    """Return the operations of a map that the macro *kind* declares."""
    return next((found for pattern, found in _KINDS if re.fullmatch(pattern, kind)), _TABLE)


def form_of(name: str, table: str = "") -> str:
    """Return how *name* is called, an operation of the map *table*: ``counts.lookup(&key)``. Empty if it is unknown."""
    arguments = _FORMS.get(name, "")
    return f"{table or 'table'}{arguments}" if arguments.startswith(".") else f"{name}{arguments}" if arguments else ""


def operation_meant(name: str, table: str, source: Sequence[str]) -> str:
    """Return what to call of the map *table*, which has no operation *name*: what is probably meant, and all it has."""
    kind = declared_as(table, source)
    known = operations_of(kind)
    meant = _MEANT.get(name, "")
    if name in ("submit", "output", "reserve", "discard") and f"ringbuf_{name}" in known:
        meant = f"ringbuf_{name}"
    elif meant not in known:
        meant = next(iter(difflib.get_close_matches(name, known, 1, 0.6)), "")
    guess = f"{form_of(meant, table)}: " if meant else ""
    return f"{guess}a {kind or 'BPF_HASH'} has {', '.join(known)}"


def helper_meant(name: str) -> str:
    """Return the helper that is probably meant by *name*: ``bpf_ktime_get_ns``. Empty if none is close."""
    return next(iter(difflib.get_close_matches(name, _helpers(), 1, _CLOSE)), "")


def _helpers() -> Iterable[str]:
    return [f"bpf_{name}" for name in HELPERS]


def called_at(line: str, column: int | None) -> tuple[str, str]:
    """Return what is called at a place of *line*, and of which map; both empty if nothing is.

    It is the innermost call that is open at *column*, which counts from 1; None: the first one.
    """
    opened: list[tuple[str, str]] = []
    for match in re.finditer(r"(?:(\w+)\s*\.\s*)?(\w+)\s*\(|[()]", line):
        if column is not None and match.start() >= column - 1 and opened:
            break
        if match[2]:
            opened.append((match[2], match[1] or ""))
            if column is None:
                break
        elif match[0] == "(":
            opened.append(("", ""))
        elif opened and column is not None and match.start() < column - 1:
            opened.pop()
    return next((one for one in reversed(opened) if one[0]), ("", ""))
