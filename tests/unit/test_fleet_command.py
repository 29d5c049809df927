"""The command line of `ebpftop fleet`: which hosts, and what is refused before any screen opens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.commands.fleet import _interval_s, hosts_of, remote_of
from ebpftop.core.source import SourceError, UsageError
from ebpftop.fleet.rows import HOSTS_MAX


def hosts(*words: str) -> list[str]:
    return hosts_of(parser("fleet").parse(["fleet", *words]))


def test_each_host_is_there_once_in_the_order_of_the_command_line_then_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# ours\nweb2\n\n  db1  # the database\nweb1\n")
    assert hosts("web1", "root@web2", "web1", "--hosts-file", str(file)) == ["web1", "root@web2", "web2", "db1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no host is named"),
        (("-", "web1"), "comes alone"),
        (tuple(f"h{number}" for number in range(HOSTS_MAX + 1)), "more than"),
    ],
)
def test_what_is_no_fleet_is_refused_with_what_helps(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        hosts(*words)


def test_a_file_that_cannot_be_read_or_has_no_hosts_in_it_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        hosts("--hosts-file", str(tmp_path / "none"))
    file = tmp_path / "hosts"
    for text in ("web1 web2", "-oProxyCommand=reboot", "-"):
        file.write_text("ok\n" + text)
        with pytest.raises(UsageError, match="line 2"):
            hosts("--hosts-file", str(file))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="not text"):
        hosts("--hosts-file", str(file))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("root@web1:22", "ssh://root@web1:22"),
        ("web[1-3]", "several hosts"),
        ("web1,web2", "several hosts"),
    ],
)
def test_what_ssh_would_look_up_as_a_name_is_refused_with_how_to_write_it(
    host: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        hosts(host)
    assert said in capsys.readouterr().err


def test_hosts_as_ssh_has_them() -> None:
    names = ["web1", "root@web1", "ssh://root@web1:22", "::1", "fe80::1%eth0", "root@10.0.0.1"]
    assert hosts(*names) == names


@pytest.mark.parametrize("host", ["-oProxyCommand=reboot", "a b", "a\x1b[2J", ""])
def test_what_ssh_would_take_for_an_option_is_no_host(host: str) -> None:
    with pytest.raises(SystemExit) as caught:
        hosts("--", host)
    assert caught.value.code == 2


def test_options_say_how_hosts_are_reached() -> None:
    words = ["fleet", "a", "--ssh-command", "ssh -F 'a file'", "--remote", "doas e", "--stream", "--interval 5 --uid 3"]
    remote = remote_of(parser("fleet").parse(words))
    assert remote.argv("a")[:3] == ["ssh", "-F", "a file"]
    assert remote.argv("a")[-1].startswith("doas e stream --compress")
    assert remote.argv("a")[-1].endswith("--interval 5 --uid 3")


def test_a_host_is_stale_by_the_interval_that_it_was_given() -> None:
    assert (_interval_s(()), _interval_s(("--interval", "5")), _interval_s(("--interval=0.5",))) == (1.0, 5.0, 0.5)
    with pytest.raises(UsageError):
        _interval_s(("--interval", "never"))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("web1",), 1, "the screen needs a terminal"),
        (("--prometheus", "http://x:9090", "web1"), 2, "has the hosts itself"),
        (("--prometheus", "ftp://x"), 2, "http://host:9090"),
        (("--ssh-command", "/nonexistent/ssh", "web1"), 1, "no such command"),
    ],
)
def test_errors_are_one_line_before_any_screen(words: tuple[str, ...], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ebpftop", "fleet", *words],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "EBPFTOP_CONFIG": ""},
    )
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""
