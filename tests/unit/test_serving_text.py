"""The text that Prometheus scrapes, read by promtool and by a reader of its own."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ebpftop.serving.buckets import Histograms
from ebpftop.serving.prometheus import exposition
from ebpftop.serving.reading import (
    BUCKETS,
    CallErrors,
    CallTotals,
    Ends,
    GroupTotals,
    LostTotal,
    Own,
    ProbeState,
    TotalsReading,
    UserTotals,
)

HOSTILE = 'a"b\\c\nd{e="f"} 1\n# TYPE x\u202e\u00e9'
NS = tuple(range(1, BUCKETS + 1))
"""As many calls in the bucket of 2**k ns as k + 1."""

READING = TotalsReading(
    time=1_764_428_662.5,
    started=1_764_428_600.25,
    version="1.2",
    kernel="6.1",
    timed=True,
    users=(UserTotals("0", "root", 12, 3), UserTotals("7", HOSTILE, 1, 0), UserTotals("other", "other", 2**64, 0)),
    exec_errors=(("ENOENT", 3), ("EACCES", 0)),
    ends=(Ends("ok", "", 5), Ends("signal", "SIGKILL", 1)),
    calls=(
        CallTotals("x86_64", "read", 1000, 1_500_000_000, NS),
        CallTotals("i386", "write", 3, 70, (0, 0, 0, 1, 2)),
        CallTotals("x86_64", "pause", 1, 0, ()),
    ),
    call_errors=(CallErrors("x86_64", "read", "EAGAIN", 9),),
    lost=(LostTotal("execs", "map", 0),),
    probes=(ProbeState("execs", True, "raw_tracepoint:sched_process_exit"), ProbeState("users", False, "")),
    by="unit",
    groups=(GroupTotals(HOSTILE, 1, 2, 3, 4, 5_000_000_000),),
    own=Own(1.5, 40 << 20, 0.25),
)

_SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\\n]|\\["\\n])*)"')


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the value of each series, as the format describes them."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for line in text.decode().removesuffix("\n").split("\n"):
        if not line.startswith("#"):
            sample = _SAMPLE.fullmatch(line)
            assert sample, line
            labels = tuple(
                (name, value.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\"))
                for name, value in _LABEL.findall(sample[2] or "")
            )
            assert (sample[1], labels) not in found, line
            found[sample[1], labels] = float(sample[3])
    return found


def value(text: bytes, name: str, **labels: str) -> float:
    (found,) = [
        value for (one, have), value in samples(text).items() if one == f"ebpftop_{name}" and dict(have) == labels
    ]
    return found


def buckets(text: bytes, call: str) -> list[tuple[str, float]]:
    return [
        (dict(labels)["le"], number)
        for (name, labels), number in samples(text).items()
        if name == "ebpftop_syscall_duration_seconds_bucket" and dict(labels)["syscall"] == call
    ]


def test_what_a_hostile_name_says_is_in_a_label_and_nowhere_else() -> None:
    text = exposition(READING)
    assert value(text, "execs_total", uid="7", user=HOSTILE) == 1
    assert value(text, "unit_execs_total", unit=HOSTILE) == 1
    assert value(text, "execs_total", uid="other", user="other") == 2**64


def test_each_family_has_its_help_and_type_once_and_stands_in_one_place() -> None:
    lines = exposition(READING).decode().splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    assert heads == [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(set(heads)) == len(heads)
    family = ""
    for line in lines:
        if line.startswith("#"):
            family = line.split()[2]
        else:
            name = re.split(r"[{ ]", line)[0]
            assert name == family or name.removeprefix(family) in ("_bucket", "_sum", "_count"), line


@pytest.mark.parametrize("histograms", ["coarse", "full"])
def test_a_bucket_has_what_took_less_than_its_bound(histograms: Histograms) -> None:
    text = exposition(READING, histograms)
    for bound, count in buckets(text, "read")[:-1]:
        assert count == sum(of for power, of in enumerate(NS) if 2 ** (power + 1) <= round(float(bound) * 1e9))
    assert buckets(text, "read")[-1] == ("+Inf", sum(NS))
    assert value(text, "syscall_duration_seconds_count", abi="x86_64", syscall="read") == sum(NS)
    assert value(text, "syscall_duration_seconds_sum", abi="x86_64", syscall="read") == 1.5
    assert [bound for bound, _ in buckets(text, "read")] == [bound for bound, _ in buckets(text, "write")]
    assert buckets(text, "write")[-1] == ("+Inf", 3)
    assert buckets(text, "pause") == []


def test_a_coarse_histogram_is_part_of_the_full_one() -> None:
    full, coarse = (dict(buckets(exposition(READING, kind), "read")) for kind in ("full", "coarse"))
    assert coarse.items() <= full.items()
    assert (len(full), len(coarse)) == (BUCKETS, 8)


def test_without_histograms_calls_and_errors_stay() -> None:
    text = exposition(READING, "none")
    assert b"duration" not in text
    assert value(text, "syscalls_total", abi="x86_64", syscall="pause") == 1
    assert value(text, "syscall_errors_total", abi="x86_64", syscall="read", errno="EAGAIN") == 9


def test_what_is_not_measured_is_no_zero() -> None:
    text = exposition(READING._replace(timed=False, by=None, own=Own(1.0, 1, None)))
    assert not re.search(rb"_errors|duration|unit_|kernel_seconds", text)


def test_no_label_names_a_process_a_program_or_a_place() -> None:
    names = {name for _, labels in samples(exposition(READING._replace(by=None), "full")) for name, _ in labels}
    assert names == {
        *("uid", "user", "errno", "reason", "signal", "abi", "syscall", "le"),
        *("probe", "where", "via", "version", "kernel"),
    }


@pytest.mark.parametrize("histograms", ["none", "coarse", "full"])
def test_promtool_has_no_complaint(histograms: Histograms) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool of Prometheus is not installed: script/test does that")
    text = exposition(READING, histograms)
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
