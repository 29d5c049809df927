"""Records of several hosts in one stream or file: each says whose it is, and none is shown as another's."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from ebpftop.core.process_records import Exec
from ebpftop.core.record_lines import Foreign
from ebpftop.core.records import End, Record
from ebpftop.core.source import SourceError
from ebpftop.recording import RecordingWriter, zstd_frames
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_file
from ebpftop.recording.readings import ReadingEncoder
from ebpftop.sources.pipe import PipeSource
from ebpftop.sources.replay import ReplaySource
from tests.unit.recording_samples import HEADER, START, drain, exec_at, key, story, trace_at

A, B = "web-1", 'b"\\ü'
STORY = list(story(5))


def lines_of(host: str, records: Iterable[Record], *, field: bool = True) -> list[bytes]:
    encoder = ReadingEncoder(host if field else None)
    header = msgspec.structs.replace(HEADER, host=host)
    return [encoder.encode(record) + b"\n" for record in (header, *records)]


def mixed(*hosts: list[bytes]) -> bytes:
    """Return the lines of each in turn."""
    return b"".join(line for turn in itertools.zip_longest(*hosts, fillvalue=b"") for line in turn)


def piped(data: bytes, host: str | None = None) -> PipeSource:
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(data)
        os._exit(0)
    os.close(write)
    return PipeSource(read, host)


def played(source: ReplaySource | PipeSource) -> list[str]:
    try:
        return sorted(map(key, drain(source, lambda: source.finished)))
    finally:
        source.close()


def file(folder: Path, data: bytes, name: str = "all.jsonl") -> str:
    (folder / name).write_bytes(zstd_frames.pack(data, data.count(b"\n")) if name.endswith(".zst") else data)
    return str(folder / name)


# What B did is not what A did.
OF_B = [exec_at(START + at, 90_000 + at) for at in range(5)]
BOTH = mixed(lines_of(A, STORY), lines_of(B, OF_B))


def test_each_line_says_it_behind_its_kind_and_is_read_as_before() -> None:
    plain, named = lines_of(A, STORY, field=False), lines_of(A, STORY)
    assert named[0] == plain[0]  # a header has one already
    for without, line in zip(plain[1:], named[1:], strict=True):
        assert list(json.loads(line))[:2] == ["kind", "host"]
        assert {**json.loads(without), "host": A} == json.loads(line)
    line = ReadingEncoder(B).encode(OF_B[0])
    assert json.loads(line)["host"] == B
    foreign = Foreign(time=START, line=b'{"kind":"new"}')
    assert ReadingEncoder(A).encode(foreign) == foreign.line


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.zst"])
def test_a_file_of_two_hosts_is_shown_one_host_at_a_time(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, BOTH, name)
    with pytest.raises(SourceError, match=r"has records of several hosts: web-1, b.*; --host web-1 is for one of them"):
        ReplaySource(path)
    for host, records in ((A, STORY), (B, OF_B)):
        source = ReplaySource(path, speed=0, host=host)
        assert source.header.host == host
        assert played(source) == sorted(map(key, records))
        assert source.damage.broken == 0
        assert not any("left out" in line for line in source.damage.report())
    with pytest.raises(SourceError, match=r"no records of host web-9; it has those of web-1, b"):
        ReplaySource(path, host="web-9")


def test_a_stream_of_two_hosts_is_shown_one_host_at_a_time() -> None:
    source = piped(BOTH)
    assert (source.header.host, played(source)) == (A, sorted(map(key, STORY)))
    assert source.damage.report() == ['records of b"\\ü left out: --host NAME shows those of another host']
    assert source.damage.in_brief == "other hosts left out"
    source = piped(BOTH, B)
    assert (source.header.host, played(source)) == (B, sorted(map(key, OF_B)))
    with pytest.raises(SourceError, match=r"the stream has no records of host web-9; it has those of web-1"):
        piped(BOTH, "web-9")


def test_a_host_that_comes_late_in_a_file_is_left_out_and_said(tmp_path: Path) -> None:
    long = [trace_at(START + at / 1000, at) for at in range(6000)]  # some chunks
    path = file(tmp_path, b"".join([*lines_of(A, long), *lines_of(B, OF_B)]))
    source = ReplaySource(path, speed=0)
    assert played(source) == sorted(map(key, long))
    assert source.damage.broken == 0
    assert any('records of b"\\ü left out' in line for line in source.damage.report())
    assert played(ReplaySource(path, speed=0, host=B)) == sorted(map(key, OF_B))
    # Figures must not be of both: it ends where the other one begins.
    passage = Passage(open_file(path), path)
    with pytest.raises(SourceError, match="several hosts"):
        list(passage.records())
    passage = Passage(open_file(path), path, host=A)
    assert (len(list(passage.records())), passage.last_time()) == (6000, long[-1].time)


def test_streams_without_the_field_are_not_taken_for_one_another(tmp_path: Path) -> None:
    plain = [lines_of(A, STORY, field=False), lines_of(B, OF_B, field=False)]
    with pytest.raises(SourceError, match=r"several hosts.*`ebpftop stream --host-field` says whose each record is"):
        ReplaySource(file(tmp_path, mixed(*plain)))
    # One after the other they can be told apart.
    one_after_other = b"".join(itertools.chain(*plain))
    assert played(piped(one_after_other, A)) == sorted(map(key, STORY))
    assert played(piped(one_after_other, B)) == sorted(map(key, OF_B))
    # One host that began again is one host.
    again = b"".join([*lines_of(A, STORY[:50], field=False), *lines_of(A, STORY[50:], field=False)])
    assert len(played(piped(again))) == len(STORY)


def test_lines_that_another_program_wrote_anew_say_the_same(tmp_path: Path) -> None:
    def anew(line: bytes, at: int) -> bytes:
        fields = json.loads(line)
        items = sorted(fields.items()) if at % 2 else fields.items()
        return json.dumps(dict(items)).encode() + b"\n"

    path = file(tmp_path, b"".join(anew(line, at) for at, line in enumerate(BOTH.splitlines())))
    assert played(ReplaySource(path, speed=0, host=A)) == sorted(map(key, STORY))
    assert played(ReplaySource(path, speed=0, host=B)) == sorted(map(key, OF_B))


def test_a_text_that_looks_like_a_host_is_none(tmp_path: Path) -> None:
    sly = [
        msgspec.structs.replace(exec_at(START, 7), argv=("x", "host", '"host":"evil"', ',"host":"evil"')),
        msgspec.structs.replace(exec_at(START, 8), env={"host": "evil", "HOST": "evil"}),
    ]
    for field in (True, False):
        path = file(tmp_path, b"".join(lines_of(A, sly, field=field)))
        assert played(ReplaySource(path, speed=0)) == sorted(map(key, sly))


def test_records_without_a_header_are_those_of_their_field(tmp_path: Path) -> None:
    path = file(tmp_path, b"".join(lines_of(A, STORY)[1:]))
    source = ReplaySource(path, speed=0)
    assert (source.header.host, len(played(source))) == (A, len(STORY))
    path = file(tmp_path, mixed(lines_of(A, STORY)[1:], lines_of(B, OF_B)[1:]))
    assert played(ReplaySource(path, speed=0, host=B)) == sorted(map(key, OF_B))


def test_names_of_hosts_are_shown_safely(tmp_path: Path) -> None:
    evil = [lines_of("\x1b]0;evil\x07" + str(at), [OF_B[0]]) for at in range(200)]
    path = file(tmp_path, mixed(lines_of(A, STORY), *evil))
    with pytest.raises(SourceError, match=r"web-1, \\x1b\]0;evil\\x070, .* and 60 more;") as caught:
        ReplaySource(path)
    assert caught.value.args[0].isprintable()


def test_a_recording_says_it_in_its_end_too(tmp_path: Path) -> None:
    with RecordingWriter(str(tmp_path / "a.jsonl"), host_field=A) as writer:
        writer.write([msgspec.structs.replace(HEADER, host=A), *OF_B])
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["host"] for line in lines] == [A] * 7
    both = file(tmp_path, mixed([line + b"\n" for line in lines], lines_of(B, STORY)))
    passage = Passage(open_file(both), both, host=A)
    assert sum(isinstance(record, Exec) for record in passage.records()) == 5
    assert passage.end == End(time=OF_B[-1].time, records=5, reason="")


def ebpftop(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ebpftop", *words]
    environment = {**os.environ, "EBPFTOP_CONFIG": ""}
    return subprocess.run(command, check=False, capture_output=True, input=stdin, timeout=60, env=environment)


def test_convert_and_diff_read_one_host_and_refuse_two(tmp_path: Path) -> None:
    whole = ebpftop("convert", "-", "--to", "jsonl", "--host", B, stdin=BOTH)
    assert (whole.returncode, whole.stderr) == (0, b"")
    header, *records = map(json.loads, whole.stdout.splitlines())
    assert (header["host"], [line["pid"] for line in records]) == (B, [exec_.pid for exec_ in OF_B])
    refused = ebpftop("convert", "-", "--to", "csv", stdin=BOTH)
    assert refused.returncode == 1
    assert b"stdin has records of several hosts: web-1, b" in refused.stderr
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    path = file(tmp_path, BOTH)
    os.chmod(path, 0o644)
    one = ebpftop("diff", path, "-", "--host", A, "--json", stdin=b"".join(lines_of(A, STORY)))
    assert one.returncode == 0, one.stderr
    assert ebpftop("diff", path, path).returncode == 1
    assert ebpftop("convert", path, "--to", "csv", "--host", " ").returncode == 2
