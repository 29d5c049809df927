"""What the kernel has of ebpftop's own files, as the sheet of a pane shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from ebpftop.core.own_programs import OwnFile
from ebpftop.core.record_lines import encode
from ebpftop.kernel.own_file import text_of
from ebpftop.recording.parse import read_line
from tests.kernel import own_source
from tests.kernel.support import needs_root

pytestmark = needs_root


def own(source: own_source.OwnSource) -> OwnFile:
    file = source.source.own_file("users")
    assert file is not None
    return file


@pytest.mark.guest
@pytest.mark.newest
def test_programs_have_id_tag_code_and_what_the_verifier_said_of_them() -> None:
    with own_source.opened(own_source.OwnSource, probes=("users",)) as source:
        file = own(source)
        assert file.file == "users.c"
        assert any("struct counters" in line for line in file.source)
        assert file.programs
        for program in file.programs:
            assert program.id
            assert any("processed" in line for line in program.verifier)
            assert any(line.split()[-1] == "exit" for line in program.code)
            assert any("call" in line for line in program.code)
        assert any(program.place for program in file.programs)
        if shutil.which("bpftool"):
            listed = json.loads(subprocess.run(["bpftool", "-j", "prog"], check=True, capture_output=True).stdout)
            tags = {one["id"]: one["tag"] for one in listed}
            assert all(tags[program.id] == program.tag for program in file.programs)


def test_the_map_has_what_was_counted_meanwhile() -> None:
    with own_source.opened(own_source.OwnSource, probes=("users",)) as source:
        before = _execs(own(source))
        for _ in range(5):
            subprocess.run(["true"], check=True)
        assert _execs(own(source)) >= before + 5


def _users(file: OwnFile) -> tuple[tuple[str, str], ...]:
    return next(one for one in file.maps if one.name == "users").entries


def _execs(file: OwnFile) -> int:
    found = dict(_users(file)).get(str(os.getuid()), "0")
    return int(found.split()[0])


def test_asked_for_it_is_recorded_when_a_probe_is_attached_and_at_the_end() -> None:
    with own_source.opened(own_source.OwnSource, probes=("users", "trace"), own_programs=True) as source:
        source.poll()
        for _ in range(3):
            subprocess.run(["true"], check=True)
        at_end = [record for batch in source.source.finish() for record in batch.records]
        for probe in ("users", "trace"):
            (first,) = (one for one in source.records if isinstance(one, OwnFile) and one.probe == probe)
            (last,) = (one for one in at_end if isinstance(one, OwnFile) and one.probe == probe)
            assert read_line(encode(first)) == first
            assert [one.id for one in first.programs] == [one.id for one in last.programs]
            assert all(one.code and one.verifier for one in last.programs)
            assert last.time > first.time
        users = [one for one in (*source.records, *at_end) if isinstance(one, OwnFile) and one.probe == "users"]
        assert _execs(users[1]) >= _execs(users[0]) + 3
    with own_source.opened(own_source.OwnSource, probes=("users",)) as source:
        source.poll()
        assert not any(isinstance(one, OwnFile) for one in source.records)


def test_values_of_all_cpus_are_added() -> None:
    assert text_of(bytes([1, *bytes(7), 2, *bytes(7)]), 8) == "3"


@pytest.mark.heavy
@pytest.mark.skipif(not shutil.which("bpftool"), reason="needs bpftool")
def test_with_btf_bpftool_shows_types_and_lines() -> None:
    with own_source.opened(own_source.OwnSource, probes=("users",), btf=True) as source:
        file = own(source)
        shown = [
            subprocess.run(
                ["bpftool", "prog", "dump", "xlated", "id", str(program.id), "linum"], check=True, capture_output=True
            ).stdout.decode()
            for program in file.programs
        ]
        assert any("users.c" in text for text in shown)
        users = next(one for one in file.maps if one.name == "users")
        subprocess.run(["true"], check=True)
        assert _users(own(source))
        assert all(value.startswith("execs=") and "last=" in value for _, value in _users(own(source)))
        text = subprocess.run(["bpftool", "map", "dump", "id", str(users.id)], check=True, capture_output=True).stdout
        assert b'"execs"' in text
