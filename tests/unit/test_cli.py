"""The command line: what each option means, which values it takes, and what is said of the others."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ebpftop.cli.commands import parser
from ebpftop.cli.main import main
from ebpftop.commands.kernel_options import _attach_options, chosen_filter, options_of
from ebpftop.commands.run_options import require_effect, shows_screen
from ebpftop.core.source import SourceError, UsageError
from ebpftop.filters.spec import Filter
from ebpftop.settings.values import NO_ENVIRONMENT
from ebpftop.syscalls.trace_limit import DEFAULT_TRACE_LIMIT


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the line that refuses *words*."""
    with pytest.raises(SystemExit) as ended:
        parser().parse(words)
    assert ended.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()[-1]


@pytest.mark.parametrize("command", ["live", "stream", "record"])
def test_every_filter_arrives_as_it_was_given(command: str) -> None:
    given = ("uid=0", "uid=4294967294", "pid=1", "pid=4194304", "comm=ssh*", "comm=x", "cgroup=/a", "container=8f")
    words = [f"--{one}" for one in given]
    file = ["file"] if command == "record" else []
    wanted = Filter(uids=(0, 4294967294), pids=(1, 4194304), comms=("ssh*", "x"), cgroups=("/a",), containers=("8f",))
    assert chosen_filter(parser().parse_args([command, *words, *file])) == wanted
    args = parser().parse_args([command, *words, "--no-hide-self", *file])
    assert chosen_filter(args) == Filter(**{**vars(wanted), "hide_self": False})
    assert chosen_filter(parser().parse_args([command, *file])) == Filter()


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [
        ("uid", "root", [0]),
        ("comm", "ä" * 7 + "x", ["ä" * 7 + "x"]),
        ("comm", "123456789012345*", ["123456789012345*"]),
        ("interval", "0.05", 0.05),
        ("interval", "3600", 3600.0),
        ("keep", "0.5", 0.5),
        ("keep", "1440", 1440.0),
        ("history", "4", 4),
        ("history", "65536", 65536),
        ("probes", "trace, execs", ("execs", "trace")),
        ("attach", "users=tracepoint", [("users", "tracepoint")]),
        ("attach", "execs.exits=tracepoint:a=b", [("execs.exits", "tracepoint:a=b")]),
    ],
)
def test_a_value_at_its_bound_is_taken(option: str, value: str, kept: object) -> None:
    assert getattr(parser().parse_args(["live", f"--{option}", value]), option) == kept


@pytest.mark.parametrize(
    ("option", "values"),
    [
        # 4294967295 is (uid_t)-1, which stands for nobody, and for those whom the kernel counts together.
        ("--uid", ["4294967295", "4294967296", "-1", "²", "1.0", "", "no user of this name"]),
        ("--pid", ["4194305", "-1", "²", "1x", ""]),
        ("--comm", ["", "ä" * 8, "1234567890123456", "a*b", "*a"]),
        ("--cgroup", ["", ".", "..", "/..", "/../a", "a/../b", "/a/..", "./a"]),
        ("--container", ["", "a/b"]),
        ("--interval", ["0.049", "3601", "nan", "inf", "-1", "x"]),
        ("--keep", ["0.4", "1441", "nan", "x"]),
        ("--history", ["3", "65537", "4.5", "²", "-4"]),
        ("--probes", ["", ",", "execs,exec"]),
        ("--attach", ["users", "users=", "=tracepoint", "exits=tracepoint"]),
        ("--buffer", ["both", ""]),
    ],
)
def test_what_no_option_takes_is_refused(capfd: pytest.CaptureFixture[str], option: str, values: list[str]) -> None:
    for value in values:
        assert f"argument {option}: " in refused(capfd, "live", f"{option}={value}"), value


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("1234567890123456", "123456789012345"),
        ("1234567890123456*", "123456789012345"),
        ("ä" * 8, "ä" * 7 + "*"),
        ("x" + "ä" * 8, "x" + "ä" * 7),
        ("\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 6, "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 5),
        ("12" + "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 5, "12" + "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 4 + "*"),
    ],
)
def test_the_name_that_is_proposed_for_one_that_is_too_long_is_taken(
    capfd: pytest.CaptureFixture[str], name: str, kept: str
) -> None:
    assert refused(capfd, "live", "--comm", name).endswith(f"use {kept}")
    assert parser().parse_args(["live", "--comm", kept]).comm == [kept]


@pytest.mark.parametrize("front", [("--config", "{}"), ("--config={}",)])
def test_settings_may_stand_before_the_command(
    front: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("interval = 2.5\n")
    words = [word.format(file) for word in front]
    assert main([*words, "stream", "--print-config"]) == 0
    assert "ebpftop stream" in capfd.readouterr().out.splitlines()[0]
    assert main(["--print-config", *words, "check"]) == 0
    assert "ebpftop check" in capfd.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("name", ["-", ""])
def test_a_recording_has_a_name(capfd: pytest.CaptureFixture[str], name: str) -> None:
    assert "`ebpftop stream` writes to stdout" in refused(capfd, "record", name)


@pytest.mark.parametrize(
    ("option", "says"),
    [("--when-exit=300", "'300' is not an exit status from 0 to 255"), ("--pid=" + "9" * 5000, "is not a process id")],
)
def test_a_number_that_is_none_is_refused_in_english(option: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert says in refused(capfd, "stream", option)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9", "x"])
def test_a_duration_is_a_time_above_zero(capfd: pytest.CaptureFixture[str], value: str) -> None:
    assert "is not a number of seconds above zero" in refused(capfd, "stream", f"--duration={value}")


def test_what_is_refused_cannot_repaint_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--history", "\x1b[2J\u202e"], ["\x1b[2J\u202e"], ["--comm", "a\n\x1b[2J\u202e*b"]):
        said = refused(capfd, "live", *words)
        assert said.isprintable()
        assert r"\x1b[2J\u202e" in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["stream", "--via", "users=tracepoint", "--say"], ["stream", "--attach", "users=tracepoint", "--printk"]),
        (["check", "--via=users=tracepoint"], ["check", "--attach=users=tracepoint"]),
    ],
)
def test_an_option_is_taken_by_its_old_name_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], old: list[str], new: list[str]
) -> None:
    taken: list[Namespace] = []

    def run(args: Namespace) -> int:
        taken.append(args)
        return 0

    monkeypatch.setattr("ebpftop.cli.main.import_module", lambda _: SimpleNamespace(run=run))
    assert main(new) == 0
    assert capfd.readouterr().err == ""
    assert main(old) == 0
    assert "--via is called --attach now" in capfd.readouterr().err
    assert taken[0] == taken[1]


def test_a_probe_that_is_not_asked_for_cannot_be_attached_anywhere() -> None:
    args = parser().parse_args(["stream", "--probes", "execs", "--attach", "users=tracepoint"])
    with pytest.raises(UsageError, match="--probes leaves users out; add users to --probes"):
        _attach_options(args)
    args = parser().parse_args(["stream", "--probes", "execs", "--attach", "execs.exits=tracepoint"])
    assert _attach_options(args) == {"execs.exits": "tracepoint"}


def test_a_probe_that_is_usually_off_is_attached_where_its_option_says_once_it_is_turned_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ebpftop.commands.kernel_options._has_bcc", lambda: True)
    chosen = ["--attach", "opens=raw_tracepoint"]
    screen = options_of(parser().parse_args(["live", *chosen]), toggles=True)
    assert (screen.attach, "opens" in screen.probes, "opens" in screen.off) == (
        {"opens": "raw_tracepoint"},
        False,
        True,
    )
    without = "opens is not attached unless --probes names it; use --probes execs,users,syscalls,trace,opens"
    with pytest.raises(UsageError, match=without):
        options_of(parser().parse_args(["stream", *chosen]))
    with pytest.raises(UsageError, match="--probes leaves opens out; add opens to --probes"):
        options_of(parser().parse_args(["live", "--probes", "execs", *chosen]), toggles=True)


def test_a_probe_with_a_screen_of_its_own_can_be_attached_whichever_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ebpftop.commands.kernel_options._has_bcc", lambda: True)
    args = parser().parse_args(["live", "--probes", "execs"])
    assert options_of(args, toggles=True).off == ("programs", "cgroups", "states")
    assert options_of(args).off == ()


@pytest.mark.parametrize("command", ["demo", "replay FILE"])
def test_an_old_name_is_unknown_where_the_option_is(capfd: pytest.CaptureFixture[str], command: str) -> None:
    assert "unrecognized arguments: --via" in refused(capfd, *command.split(), "--via", "users=tracepoint")


def test_an_unknown_option_leads_to_the_help_of_its_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert "ebpftop demo --help lists what there is" in refused(capfd, "demo", "--output", "x")


def test_a_file_may_be_called_as_an_option_was() -> None:
    args = parser().parse_args(["record", "--", "--via"])
    assert (args.file, args.attach) == ("--via", [])


def test_nothing_prints_without_the_probe_that_would() -> None:
    args = parser().parse_args(["stream", "--probes", "trace", "--printk"])
    with pytest.raises(UsageError, match="--printk: --probes leaves syscalls out"):
        options_of(args)


def test_only_calls_that_are_traced_have_stacks() -> None:
    with pytest.raises(UsageError, match="--stacks: no call is traced"):
        options_of(parser().parse_args(["stream", "--stacks"]))
    with pytest.raises(UsageError, match="--stacks: --probes leaves syscalls out"):
        options_of(parser().parse_args(["stream", "--probes", "execs", "--stacks"]))
    assert options_of(parser().parse_args(["live", "--stacks"]), toggles=True).stacks  # T traces calls later
    asked = parser().parse_args(["stream", "--probes", "syscalls", "--stacks", "--trace", "openat:failed"])
    assert options_of(asked).stacks


def test_names_of_variables_are_names() -> None:
    assert parser().parse_args(["stream", "--env", "HOME,LC_*,HOME"]).env == ("HOME", "LC_*")
    assert not parser().parse_args(["stream"]).env
    assert parser().parse_args(["stream", "--env", "none"]).env == NO_ENVIRONMENT
    for wrong in ("", "A=b", "*", "A*B", "A,,B", "none,A"):
        with pytest.raises(SystemExit):
            parser().parse_args(["stream", "--env", wrong])


@pytest.mark.parametrize(
    "options",
    [("--probes", "execs", "--seccomp", "x.json"), ("--json", "x.json", "--seccomp", "x.json")],
    ids=["without the calls", "two in one file"],
)
def test_a_profile_that_cannot_be_made_is_refused(options: tuple[str, ...]) -> None:
    args = parser().parse_args(["run", *options, "--", "true"])
    args.settings = None
    assert not shows_screen(args)
    with pytest.raises(UsageError, match="--seccomp"):
        require_effect(args, on_screen=False)


def test_how_many_calls_are_traced_a_second_can_be_chosen() -> None:
    asked = parser().parse_args(["stream", "--probes", "syscalls", "--trace-limit", "7"])
    assert options_of(asked).trace_limit == 7
    assert options_of(parser().parse_args(["stream"])).trace_limit == DEFAULT_TRACE_LIMIT
    for wrong in ("0", "-1", "1000001", "many"):
        with pytest.raises(SystemExit):
            parser().parse_args(["stream", "--trace-limit", wrong])


def test_a_function_of_a_c_file_is_attached_by_the_same_option(tmp_path: Path) -> None:
    path = tmp_path / "hello.c"
    path.write_text("int hello(void *ctx) { return 0; }\nint other(void *ctx) { return 0; }\n")
    words = ["stream", "--load", str(path), "--attach", "hello=syscall:execve", "--attach", "trace=tracepoint"]
    options = options_of(parser().parse_args(words))
    assert options.probes == ("load", "trace")
    assert options.attach == {"trace": "tracepoint"}
    assert options.load is not None
    assert options.load.path == path
    assert {name: [event.text for event in events] for name, events in options.load.attach.items()} == {
        "hello": ["syscall:execve"]
    }
    assert options_of(parser().parse_args([*words, "--probes", "execs,trace"])).probes == ("load", "execs", "trace")
    screen = options_of(parser().parse_args(["load", str(path)]), toggles=True)
    assert screen.probes == ("load", "trace")
    assert "execs" in screen.off
    assert "trace" not in screen.off
    for wrong, said in (
        (["stream", "--attach", "hello=syscall:execve"], "there is no probe hello, and no C file"),
        (["stream", "--load", str(path), "--attach", "nobody=syscall:execve"], "there is no program nobody"),
        (["stream", "--load", str(path), "--attach", "hello=nothing:execve"], "is not an event"),
        (["load", str(tmp_path / "none.c")], "there is no file"),
    ):
        with pytest.raises(SourceError, match=said):
            options_of(parser().parse_args(wrong))
