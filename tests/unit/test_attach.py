"""The attach ladder: the first option that holds is taken whole, and of one that does not nothing stays attached."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("bcc")

from ebpftop.kernel import attach, perf_event
from ebpftop.kernel.attach import Attach, AttachOption, AttachResult, KernelFeatures, attach_first
from ebpftop.kernel.errors import LoadError
from ebpftop.kernel.loader import Kind, Link, Module


class FakeModule:
    """Attaches all but what is said to fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.attached: dict[Link, str] = {}

    def attach(self, kind: Kind, target: str, function: str, slot: int | None = None) -> Link:
        if target in self.failing:
            raise LoadError(f"no {target}")
        link = Link(close=lambda: None)
        self.attached[link] = f"{kind}:{target}:{function}"
        return link

    def release(self, link: Link) -> None:
        del self.attached[link]


STEPS = (
    AttachOption("free", (Attach("raw_tracepoint", "one", "a"), Attach("raw_tracepoint", "two", "b")), ("never",)),
    AttachOption(
        "cheap",
        (
            Attach("raw_tracepoint", "three", "c"),
            Attach("raw_tracepoint", "four", "d", without="fours"),
            Attach("raw_tracepoint", "five", "e", without="fives"),
        ),
        ("seldom",),
    ),
    AttachOption("dear", (Attach("tracepoint", "sys:six", "f"),)),
)


NOTHING = KernelFeatures(None, None)


def tried(module: FakeModule, requested: str | None = None, features: KernelFeatures = NOTHING) -> AttachResult:
    return attach_first(cast(Module, module), STEPS, features, requested)


def test_the_first_attach_option_is_taken_whole_and_the_others_are_not_needed() -> None:
    module = FakeModule()
    result = tried(module)
    assert result.via == "raw_tracepoint:one"
    assert [module.attached[link] for link in result.links] == ["raw_tracepoint:one:a", "raw_tracepoint:two:b"]
    assert len(module.attached) == 2
    assert [attempt.reason for attempt in result.attempts] == [None, *["not needed: raw_tracepoint:one works"] * 2]


def test_of_an_attach_option_that_does_not_hold_nothing_stays() -> None:
    module = FakeModule("two")
    result = tried(module)
    assert result.via == "raw_tracepoint:three"
    assert module.attached.keys() == set(result.links)
    assert sorted(module.attached.values()) == [
        "raw_tracepoint:five:e", "raw_tracepoint:four:d", "raw_tracepoint:three:c",
    ]  # fmt: skip
    assert result.attempts[0].reason == "raw_tracepoint:two: no two"
    assert result.attempts[1].blind == ("seldom",)


def test_what_an_attach_option_can_do_without_is_said_to_be_unseen() -> None:
    module = FakeModule("one", "four")
    result = tried(module)
    assert sorted(module.attached.values()) == ["raw_tracepoint:five:e", "raw_tracepoint:three:c"]
    assert [(attempt.reason, attempt.blind) for attempt in result.attempts] == [
        ("no one", ("never",)),
        (None, ("seldom", "fours")),
        ("not needed: raw_tracepoint:three works", ()),
    ]


def test_where_none_holds_nothing_stays() -> None:
    module = FakeModule("two", "three")
    result = tried(module)
    assert (result.via, result.links, module.attached) == (None, (), {})
    assert all(attempt.reason for attempt in result.attempts)


def test_one_that_is_asked_for_is_the_only_one_tried(tmp_path: Path) -> None:
    (tmp_path / "events/sys/six").mkdir(parents=True)
    for wanted in ("tracepoint", "tracepoint:sys:six"):
        module = FakeModule()
        result = tried(module, wanted, KernelFeatures(tmp_path, None))
        assert list(module.attached.values()) == ["tracepoint:sys:six:f"]
        assert [attempt.reason for attempt in result.attempts] == [*[f"--attach asked for {wanted}"] * 2, None]
    module = FakeModule("one")
    assert tried(module, "raw_tracepoint:one", KernelFeatures(tmp_path, None)).via is None
    assert not module.attached


def test_what_a_kernel_lacks_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "KPROBE_TYPE", tmp_path / "no kprobes")
    steps = tuple(
        AttachOption("", (Attach(kind, "x:y", "f"),))
        for kind in ("kprobe", "kretprobe", "fentry", "fexit", "tracepoint")
    )
    result = attach_first(cast(Module, FakeModule()), steps, KernelFeatures(tmp_path, "no BTF"))
    assert result.via is None
    assert [attempt.reason for attempt in result.attempts] == [
        *["this kernel has no kprobes (CONFIG_KPROBES)"] * 2, *["no BTF"] * 2, "this kernel has no such tracepoint",
    ]  # fmt: skip


def test_what_forgets_is_attached_before_what_remembers_and_the_attach_option_keeps_its_name() -> None:
    step = AttachOption(
        "free", (Attach("raw_tracepoint", "in", "a"), Attach("raw_tracepoint", "out", "b", forgets=True))
    )
    module = FakeModule()
    result = attach_first(cast(Module, module), (step,), NOTHING)
    assert result.via == "raw_tracepoint:in"
    assert list(module.attached.values()) == ["raw_tracepoint:out:b", "raw_tracepoint:in:a"]


@pytest.mark.parametrize(("online", "first"), [("0-3", 0), ("2-3", 2), ("1,4-7", 1), ("5", 5)])
def test_an_event_of_no_cpu_is_opened_on_the_first_that_is_online(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, online: str, first: int
) -> None:
    (tmp_path / "online").write_text(f"{online}\n")
    monkeypatch.setattr(perf_event, "_ONLINE", tmp_path / "online")
    monkeypatch.setattr(perf_event, "_open", lambda _kind, _config, cpu, **_: cpu)
    monkeypatch.setattr(perf_event, "_with_program", lambda fd, _program_fd: fd)
    (tmp_path / "events/sched/a").mkdir(parents=True)
    (tmp_path / "events/sched/a/id").write_text("1\n")
    assert perf_event.attach_tracepoint(3, tmp_path, "sched:a") == first
