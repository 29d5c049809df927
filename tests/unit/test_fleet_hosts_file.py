"""The file of hosts that `ebpftop fleet` is given."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from ebpftop.commands.fleet import hosts_of
from ebpftop.core.source import SourceError, UsageError


def told(file: Path, *hosts: str) -> list[str]:
    return hosts_of(argparse.Namespace(hosts=hosts, hosts_file=str(file)))


@pytest.mark.parametrize(
    "text",
    [b"web1\nweb2\n", b"# all\r\nweb1\r\n\r\nweb2 # the second\r\nweb1\r\n", b"\xef\xbb\xbfweb1\nweb2"],
)
def test_a_file_has_a_host_a_line(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(text)
    assert told(file, "db1") == ["db1", "web1", "web2"]


@pytest.mark.parametrize("text", [b"-oProxyCommand=x\n", b"web1 web2\n", b"web1\x00\n", b"-\n", b"", b"# none\n"])
def test_what_is_no_host_in_a_file_is_an_error(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(text)
    with pytest.raises(UsageError):
        told(file)


def test_a_file_that_is_not_text_or_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("binary", "missing", "."):
        with pytest.raises(SourceError):
            told(tmp_path / name)
