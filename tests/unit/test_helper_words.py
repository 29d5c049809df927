"""Helpers explained in a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpftop.models.helper_words import HELPERS, MACROS, METHODS, explain_helper, explain_instruction, explain_line

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("words", [*HELPERS.values(), *METHODS.values(), *MACROS.values()])
def test_each_is_one_short_line(words: str) -> None:
    assert "\n" not in words
    assert len(words) <= 130
    assert words[0].islower()
    assert not words.endswith(".")


def test_every_helper_of_the_lessons_is_explained() -> None:
    for file in (CHECKOUT / "bpf/lesson").glob("*.c"):
        for name in re.findall(r"\b(bpf_\w+|BPF_\w+)\(", file.read_text()):
            assert explain_helper(name), name


@pytest.mark.parametrize(
    ("instruction", "begins"),
    [
        ("call bpf_get_current_uid_gid", "for whom it runs"),
        ("call __htab_map_lookup_elem", "finds a key"),
        ("call htab_lru_map_update_elem", "writes a value"),
        ("call htab_map_delete_elem", "removes a key"),
        ("call array_map_update_elem", "writes a value"),
        ("call bpf_perf_event_output_raw_tp", "sends bytes"),
        ("call bpf_probe_read_kernel", "copies the kernel's memory"),
        ("call bpf_trace_printk", "prints a line"),
    ],
)
def test_what_the_code_calls_is_known_by_the_name_of_the_kernel(instruction: str, begins: str) -> None:
    assert (explain_instruction(instruction) or "").startswith(begins)


def test_what_is_no_call_or_unknown_is_not_explained() -> None:
    assert explain_instruction("r2 = r10") is None
    assert explain_instruction("call something_else") is None


def test_a_line_of_c_may_have_several() -> None:
    found = explain_line("u64 t = bpf_ktime_get_ns(), *n = table.lookup(&t); lookup(x); output.perf_submit(ctx, n, 8);")
    assert [name for name, _ in found] == ["bpf_ktime_get_ns", "lookup", "perf_submit"]
    assert explain_line("BPF_HASH(counter_table, u64, u64);")[0][0] == "BPF_HASH"
    assert explain_line("return 0;") == ()
