"""The messages of clang, of BCC and of LLVM's back end in words that a learner understands, and what to try."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ebpftop.models.compiler_log import CompilerMessage
from ebpftop.models.compiler_meanings import WORDS
from ebpftop.models.map_operations import called_at, declared_as, form_of, helper_meant, operation_meant

_DID_YOU_MEAN = re.compile(r"did you mean (?:to use )?'([^']*)'")


# Functions of C's library and of the kernel that learners miss, and what a BPF program has instead.
INSTEAD = {
    "printf": 'bpf_trace_printk("..")',
    "printk": 'bpf_trace_printk("..")',
    "puts": 'bpf_trace_printk("..")',
    "strcmp": "compare character by character, with a constant number of them; or look the text up in a map",
    "strncmp": "compare character by character, with a constant number of them; or look the text up in a map",
    "strlen": "bpf_probe_read_kernel_str(..), which returns the length",
    "strcpy": "bpf_probe_read_kernel_str(to, sizeof(to), from), or __builtin_memcpy",
    "strncpy": "bpf_probe_read_kernel_str(to, sizeof(to), from), or __builtin_memcpy",
    "sprintf": "bpf_trace_printk, or send the numbers and put the text together outside",
    "snprintf": "bpf_trace_printk, or send the numbers and put the text together outside",
    "memcpy": "__builtin_memcpy with a constant size, or bpf_probe_read_kernel",
    "memset": "__builtin_memset with a constant size",
    "memcmp": "__builtin_memcmp with a constant size",
    "malloc": "a map: BPF_PERCPU_ARRAY(scratch, struct data_t, 1)",
    "getpid": "bpf_get_current_pid_tgid() >> 32",
    "getuid": "(u32)bpf_get_current_uid_gid()",
    "time": "bpf_ktime_get_ns()",
    "rand": "bpf_get_prandom_u32()",
    "bpf_get_current_uid": "(u32)bpf_get_current_uid_gid()",
    "bpf_get_current_pid": "bpf_get_current_pid_tgid() >> 32",
    "bpf_get_current_tid": "(u32)bpf_get_current_pid_tgid()",
    "bpf_printk": 'bpf_trace_printk("..")',
    "min": "a ? b : c, written out: x < y ? x : y",
    "max": "a ? b : c, written out: x > y ? x : y",
}


NAMES = (
    *("name", "instead", "undeclared", "meant", "opened", "any_type", "any_name", "macro"),
    *("operation", "form", "subscript"),
)
"""What an explanation may name beside the groups of its pattern."""


def explained(one: CompilerMessage, source: Sequence[str]) -> tuple[str, str]:
    """Return what a message means and what to try; both empty if nothing is known about it."""
    for words in WORDS:
        if match := words.pattern.search(one.message):
            names = _names(one, match, source)
            return words.meaning.format_map(names), words.suggestion.format_map(names).strip()
    return "", ""


def _names(one: CompilerMessage, match: re.Match[str], source: Sequence[str]) -> dict[str, str]:
    groups = {key: found or "" for key, found in match.groupdict().items()}
    name = groups.get("name", "")
    meant = _DID_YOU_MEAN.search(one.message)
    opened = next((place for place, text in one.notes if text.startswith("to match this")), "")
    types = [groups[key] for key in ("type", "other", "third") if groups.get(key)]
    names = [groups[key] for key in ("name", "other", "table") if groups.get(key)]
    return {
        "name": "it",
        **groups,
        "instead": _instead(name, meant),
        "undeclared": _undeclared(name, meant, one, source),
        "meant": f"{meant[1]}? " if meant else "",
        "opened": f"it belongs to the one on {opened}" if opened else "see the line before",
        "any_type": types[0] if types else "it",
        "any_name": names[0] if names else "it",
        "macro": one.macro.partition("(")[0] or "BPF_HASH",
        "operation": operation_meant(name, groups.get("table", ""), source),
        "form": _form(one, source),
        "subscript": _subscript(one, source),
    }


def _line(one: CompilerMessage, source: Sequence[str]) -> str:
    return source[one.line - 1] if one.line is not None and 0 < one.line <= len(source) else ""


def _form(one: CompilerMessage, source: Sequence[str]) -> str:
    """Return how what is called at the place of a message is written, or some that are called often."""
    line = _line(one, source)
    return form_of(*called_at(line, one.column)) or (
        "table.lookup(&key) has one, table.update(&key, &value) two, output.perf_submit(ctx, &data, sizeof(data)) three"
    )


def _subscript(one: CompilerMessage, source: Sequence[str]) -> str:
    """Return what to write instead of an index behind something that has none; a map is read by its operations."""
    found = re.search(r"\b(\w+)\s*\[\s*([^\]]*?)\s*\]", _line(one, source))
    if found and declared_as(found[1], source):
        name, key = found.groups()
        return f"{name} is a map: u64 *value = {name}.lookup(&{key}); if (value) ..; to count: {name}.increment({key})"
    return "see how it is declared: u64 *n is a pointer, u64 n a number"


def _instead(name: str, meant: re.Match[str] | None) -> str:
    if name in INSTEAD:
        return INSTEAD[name]
    if meant:
        return f"{meant[1]}?"
    if helper := helper_meant(name):
        return f"{form_of(helper) or helper}?"
    return f"define it in this file, before it is used: static inline int {name}(..) {{ .. }}"


def _undeclared(name: str, meant: re.Match[str] | None, one: CompilerMessage, source: Sequence[str]) -> str:
    """Return what to do about a name that is not declared: a map, if one of its operations is called."""
    if meant:
        return f"{meant[1]}?"
    text = _line(one, source)
    method = re.search(rf"\b{re.escape(name)}\s*\.\s*(\w+)\s*\(", text)
    if method:
        macro = _MAPS.get(method[1], "BPF_HASH({name}, u64, u64);").format(name=name)
        return f"declare the map at the top of the file: {macro}"
    if name.isupper():
        return (
            f"#define {name} with its number: the kernel's macros are not in BTF, so ebpftop knows only the commonest"
        )
    return f"declare it before: u64 {name} = 0;"


_MAPS = {
    "perf_submit": "BPF_PERF_OUTPUT({name});",
    "ringbuf_output": "BPF_RINGBUF_OUTPUT({name}, 8);",
    "ringbuf_reserve": "BPF_RINGBUF_OUTPUT({name}, 8);",
    "ringbuf_submit": "BPF_RINGBUF_OUTPUT({name}, 8);",
    "call": "BPF_PROG_ARRAY({name}, 8);",
    "get_stackid": "BPF_STACK_TRACE({name}, 1024);",
    "perf_read": "BPF_PERF_ARRAY({name}, 64);",
}
