"""What the kernel tells of its BPF objects, where it does not tell of each."""

from __future__ import annotations

import os

import pytest

from ebpftop.kernel import bpf_objects, bpf_syscall


def test_links_that_have_gone_or_are_being_made_hide_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {1: FileNotFoundError, 2: BlockingIOError}

    def next_id(_: int, than: int) -> int:
        if than == 3:
            raise FileNotFoundError
        return than + 1

    def opened(_: int, number: int) -> int:
        if number in errors:
            raise errors[number]
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(bpf_syscall, "next_id", next_id)
    monkeypatch.setattr(bpf_objects, "_open", opened)
    monkeypatch.setattr(bpf_objects, "_link", lambda _: bpf_objects.LinkFacts(3, 7, 5, b"", b""))
    assert [link.id for link in bpf_objects.links(0)] == [3]
