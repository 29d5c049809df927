"""What the verifier knew of a register, in words; and where in the program its value was made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ebpftop.models.verifier_log import Step

_TYPED = re.compile(r"([a-z_][a-z_0-9]*)\((.*)\)$", re.DOTALL)
_STACK = re.compile(r"(?:fp|fp\(off=)(-?\d+)\)?$")
_NUMBER = re.compile(r"(?:invP?|P|scalar)?(-?(?:0x[0-9a-f]+|\d+))$")
_SCALARS = ("inv", "invP", "scalar", "inv(", "scalar(")
_RANGE = {
    "least": re.compile(r"(?:^|[,=])(?:umin|umin_value)=[a-z0-9=]*?(0x[0-9a-f]+|\d+)(?:,|$)"),
    "most": re.compile(r"(?:^|[,=])(?:umax|umax_value)=[a-z0-9=]*?(0x[0-9a-f]+|\d+)(?:,|$)"),
    "signed_least": re.compile(r"(?:^|[,=])(?:smin|smin_value)=[a-z0-9=]*?(-?0x[0-9a-f]+|-?\d+)(?:,|$)"),
    "signed_most": re.compile(r"(?:^|[,=])(?:smax|smax_value)=[a-z0-9=]*?(-?0x[0-9a-f]+|-?\d+)(?:,|$)"),
}
_MAP = re.compile(r"map=([^,)]+)")
_VALUE_SIZE = re.compile(r"vs=(\d+)")
_SIZE = re.compile(r"(?:^|,)(?:sz|mem_size)=(\d+)")
_OFFSET = re.compile(r"(?:^|,)off=(-?\d+)")
_U64, _S64 = (1 << 64) - 1, 1 << 63

_KINDS: Mapping[str, str] = {
    "ctx": "the context (ctx)",
    "fp": "frame pointer",
    "pkt": "pointer into the packet",
    "pkt_end": "end of the packet",
    "pkt_meta": "metadata of the packet",
    "map_key": "a key of the map",
    "rdonly_mem": "memory that is read only",
    "func": "a function",
}


def register_words(name: str, state: str, map_name: str = "") -> str:
    """Return what the verifier's *state* of the register or stack slot *name* says, in words.

    Pointers keep the verifier's name of their type, since its messages have it. *map_name* is that of its map, where
    the state does not name it: before Linux 6.2.
    """
    if name == "r10" and state in ("fp", "fp0"):
        return "frame pointer"
    if name.startswith("fp"):
        return _slot_words(state)
    if (match := _STACK.match(state)) is not None:
        offset = int(match[1])
        return f"stack, {-offset} B below the frame pointer" if offset < 0 else "frame pointer"
    if (match := _NUMBER.match(state)) is not None:
        return match[1]
    kind, _, inside = state.partition("(")
    inside = inside.removesuffix(")")
    if kind in ("inv", "invP", "scalar"):
        return _range_words(inside)
    parts = []
    found = _MAP.search(inside)
    if label := found[1] if found else map_name if kind.startswith("map_") else "":
        parts.append(label)
    size = _VALUE_SIZE.search(inside) if kind.startswith("map_value") else _SIZE.search(inside)
    if size:
        parts.append(f"{size[1]} B")
    if (offset_found := _OFFSET.search(inside)) and int(offset_found[1]):
        parts.append(f"{int(offset_found[1]):+d}")
    if kind == "fp" and (offset_found := _OFFSET.search(inside)):
        return f"stack, from {-int(offset_found[1])} B below the frame pointer"
    if kind in ("map_value", "mem", "ringbuf_mem", "alloc_mem", "pkt") and (limits := _limits(inside)) is not None:
        parts.append(f"+{limits}")
    words = _KINDS.get(kind, kind)
    return f"{words}({', '.join(parts)})" if parts else words


def _slot_words(state: str) -> str:
    """Return what is known of eight bytes of the stack: a value, or one sign for each byte."""
    if state and len(state) == 8 and set(state) <= set("m0?dif"):
        if set(state) == {"?"}:
            return "never written"
        written = 8 - state.count("?")
        return "written" if written == 8 else f"{written} of 8 bytes written"
    return register_words("", state)


def _limits(inside: str) -> str | None:
    """Return the range of a number as the verifier knows it: ``0..63``; None if it knows none."""
    found = {key: int(match[1], 0) for key, pattern in _RANGE.items() if (match := pattern.search(inside))}
    least, most = found.get("least"), found.get("most")
    if most is not None and most < _U64:
        return f"{least or 0}..{most}"
    low, high = found.get("signed_least"), found.get("signed_most")
    if low is not None or high is not None:
        below = "below 0" if low is None else str(low)
        return f"{below}..{'any' if high is None else high}"
    return f"{least}.." if least else None


def _range_words(inside: str) -> str:
    limits = _limits(inside)
    return f"a number, {limits}" if limits else "a number, unknown"


# ---- where a value was made ----

_WRITES = re.compile(r"([rw])(\d+) (=|[-+*/%&|^<>]+=|s>>=|s/=|s%=) (.*)$")
_STORE = re.compile(r"\*\(u64 \*\)\(r10 ([-+]\d+)\) = r(\d+)$")
_LOAD = re.compile(r"\*\(u64 \*\)\(r10 ([-+]\d+)\)$")


class Origin(NamedTuple):
    """The step that made a value, and the last one that changed it, which may be the same."""

    made: Step
    changed: Step


def origin(steps: Sequence[Step], register: str) -> Origin | None:
    """Return where the value that *register* has before the last step was made; None if it was there from the start.

    It is followed back through copies from register to register, and through the stack.
    """
    place = register
    changed: Step | None = None
    for step in reversed(steps[:-1]):
        store = _STORE.match(step.text)
        if store:
            if place == f"fp{store[1]}":
                place = f"r{store[2]}"
            continue
        if step.text.startswith("call ") and place in ("r0", "r1", "r2", "r3", "r4", "r5"):
            return Origin(step, changed or step) if place == "r0" else None
        match = _WRITES.match(step.text)
        if match is None or f"r{match[2]}" != place:
            continue
        changed = changed or step
        if match[3] != "=":
            continue  # a pointer to which something is added is still that pointer
        source = match[4]
        if load := _LOAD.match(source):
            place = f"fp{load[1]}"
        elif source.startswith("r") and source[1:].isdigit():
            place = source
        else:
            return Origin(step, changed)
    return None


_ASSIGNED = r"(?:^|[(;{\s*&])(\w+)\s*=\s*(?![=])[^;=]*?"
_METHOD = re.compile(r"(\w+)\s*\.\s*(\w+)\s*\(")
_FUNCTION = re.compile(r"call (?:bpf_)?(\w+?)(?:#\d+)?$")


class Maker(NamedTuple):
    """The call that made a value: the variable that it is assigned to, the call as in the source, the map; or empty."""

    variable: str
    call: str
    map: str


def maker(step: Step) -> Maker:
    """Return what the source line of *step* says about the value that the step makes."""
    method = _METHOD.search(step.source)
    call = _FUNCTION.match(step.text)
    name = ""
    map_name = ""
    if call:
        if method and _is_of(method[2], call[1]):
            name, map_name = f"{method[1]}.{method[2]}", method[1]
        else:
            name = f"bpf_{call[1]}"
    needle = re.escape(method[1]) + r"\s*\.\s*" + re.escape(method[2]) if name and method and map_name else ""
    if not needle and call:
        needle = r"(?:bpf_)?" + re.escape(call[1])
    assigned = re.search(_ASSIGNED + needle, step.source) if needle else None
    return Maker(assigned[1] if assigned else "", name, map_name)


_METHODS: Mapping[str, tuple[str, ...]] = {
    "map_lookup_elem": ("lookup", "lookup_or_init", "lookup_or_try_init", "increment", "atomic_increment"),
    "map_update_elem": ("update", "insert", "lookup_or_init", "lookup_or_try_init", "increment"),
    "map_delete_elem": ("delete",),
    "perf_event_output": ("perf_submit", "perf_submit_skb"),
    "tail_call": ("call",),
    "ringbuf_reserve": ("ringbuf_reserve",),
    "ringbuf_submit": ("ringbuf_submit",),
    "ringbuf_discard": ("ringbuf_discard",),
    "ringbuf_output": ("ringbuf_output",),
    "get_stackid": ("get_stackid",),
}


def _is_of(method: str, helper: str) -> bool:
    """Whether BCC makes a call of *helper* from a table's *method*."""
    return method in _METHODS.get(helper, ())
