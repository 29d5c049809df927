"""Settings: where they are, what is read of a file that anybody wrote, what stays of one that is changed."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.cli.main import main
from ebpftop.cli.settings import read_settings
from ebpftop.commands import replay
from ebpftop.settings import places, store
from ebpftop.settings.kinds import FLAG
from ebpftop.settings.printing import printed
from ebpftop.settings.reading import MAX_BYTES, File, Unreadable, line_of, parse, read_file, read_tables
from ebpftop.settings.rows import (
    ASCII,
    CONFIRM,
    FAILURES,
    INTERVAL,
    MEMORY,
    MOUSE,
    SETTINGS,
    SORT,
    TABLES,
    THEME,
    Columns,
    PaneSize,
    kind_of,
)
from ebpftop.settings.rows import Path as SettingPath
from ebpftop.settings.store import Settings, load
from ebpftop.settings.writing import NotSaved, changed_content, write

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without settings; the machine has none either."""
    for name in ("XDG_CONFIG_HOME", "SUDO_UID", "SUDO_GID", "DOAS_USER", "PKEXEC_UID", places.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(places, "SYSTEM", str(tmp_path / "etc/ebpftop/config.toml"))
    return tmp_path


def own_file(home: Path, text: str | bytes) -> Path:
    file = home / ".config/ebpftop/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def problems(file: Path) -> list[str]:
    return [str(problem).removeprefix(str(file)) for problem in read_file(str(file)).problems]


# Reading.


def test_settings_are_never_needed(home: Path) -> None:
    settings = load()
    assert settings.path == str(home / ".config/ebpftop/config.toml")
    assert not settings.problems
    assert settings[THEME] == "auto"
    assert settings.origin(THEME.path) == store.DEFAULT


def test_the_users_own_come_before_those_of_the_machine(home: Path) -> None:
    own_file(home, 'theme = "dark"\nsort = {users = "uid"}\n')
    system = Path(places.SYSTEM)
    system.parent.mkdir(parents=True)
    system.write_text('theme = "light"\nmouse = false\n[sort]\nusers = "execs"\nsyscalls = "p99"\n')
    settings = load()
    assert (settings[THEME], settings[MOUSE], settings[MEMORY]) == ("dark", False, 200)
    assert settings.origin(MOUSE.path) == places.SYSTEM
    assert settings.entries(SORT) == {"users": "uid", "syscalls": "p99"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("interval = 0", ":2: interval: 0 is not a number of seconds from 0.05 to 3600; the default is used"),
        ("interval = true", ":2: interval: True is not a number of seconds from 0.05 to 3600; the default is used"),
        ("interval = nan", ":2: interval: nan is not a number of seconds from 0.05 to 3600; the default is used"),
        ("memory = 31.5", ":2: memory: 31.5 is not a whole number of MiB from 32 to 65536; the default is used: 200"),
        ("mouse = 1", ":2: mouse: 1 is not true or false; the default is used: yes"),
        ('clock = "CET"', ":2: clock: 'CET' is not one of local, utc; the default is used: local"),
        ("theme = [1]", ":2: theme: [1] is not one of auto, dark, light, contrast, blue-orange, 16"),
        ('uid = ["root", "no such user"]', ":2: uid: 'no such user' is neither a uid nor a user of this machine"),
        ('comm = "a*b"', ":2: comm: 'a*b': a * may only stand at the end; the default is used"),
        ('ignore = "reads"', ":2: ignore: "),
        ('attach = "users"', ":2: attach: 'users' is not PROBE=EVENT, as in execs=tracepoint (see `ebpftop check`)"),
        ('sort = "uid"', ":2: sort: it must be a table: [sort]; it is not used"),
        ("sort.users = 1", ":2: sort.users: 1 is not the name of a column, with - in front to reverse"),
        ("columns.execs = {show = []}", ":2: columns.execs: show: [] is not a list of names of columns; the default"),
        ("columns.execs.widths.pid = 2", ":2: columns.execs: widths: pid: 2 is not a whole number from 3 to 200"),
        ("panes.execs.height = 9", ":2: panes.execs: height: 9 is not a number from 0.25 to 4; the default"),
        ("intervals = 1", ":2: intervals: unknown; did you mean interval?; it is not used"),
        ("hide_self = true", ":2: hide_self: unknown; did you mean hide-self?; it is not used"),
        ("xyz.abc = 1", ":2: xyz: unknown; it is not used"),
        ("uid = '" + "9" * 5000 + "'", ":2: uid: '999"),
        ("pid = '" + "9" * 5000 + "'", ":2: pid: '999"),
        ("memory = '" + "9" * 5000 + "'", ":2: memory: '999"),
        ('keys.quit = "\\u001b"', ":2: keys.quit: '\\x1b' is not keys, as in"),
        ('keys.quit = ["q", "\\u202e"]', ":2: keys.quit: ['q', '\\u202e'] is not keys, as in"),
        ("when = 'exit.cor'", ":2: when: 'exit.cor': exit has no field cor; did you mean core? It has time"),
        ("when = ['exit.core', 1]", ":2: when: 1 is not an expression over records, as in exit.signal == 'SIGSEGV'"),
        ('keys.quit = ["", "q"]', ":2: keys.quit: ['', 'q'] is not keys, as in"),
        ('keys.quit = "ctrl q"', ":2: keys.quit: 'ctrl q' is not keys, as in"),
        ("theme = 0x" + "f" * 5000, ":2: theme: a number has more than 64 bits; the default is used: auto"),
        ("mouse = 0x" + "f" * 5000, ":2: mouse: a number has more than 64 bits; the default is used: yes"),
        ("uid = [0, 0x1" + "0" * 16 + "]", ":2: uid: a number has more than 64 bits; the default is used"),
        ("columns.execs.widths.pid = 0o7" + "7" * 21, ":2: columns.execs: a number has more than 64 bits; the default"),
        ('"\\u001b[2J" = 1', ': "\\u001b[2J": unknown; it is not used'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_line_and_takes_no_other_with_it(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "config.toml"
    key = "keys.help" if line.startswith("keys.") else "[keys]\nhelp"
    file.write_text(f"# interval = 0, memory\n{line}\n\n{key} = 'f5'\n")
    (told,) = problems(file)
    assert told.startswith(said)
    assert told.isprintable()
    assert read_file(str(file)).values == {("keys", "help"): "f5"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"mouse = ", "it is not TOML: Invalid value (at"),
        (b"mouse = false\nmouse = true", "it is not TOML: Cannot overwrite a value (at"),
        (b"a = " + b"[" * 100_000, "it is nested too deeply"),
        (b"memory = " + b"9" * 5000, "it is not TOML: Exceeds the limit"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "it is not TOML: "),
        (b"# \xff\xfe", "line 1 is not UTF-8 (byte 0xff)"),
        (b"#" * (MAX_BYTES + 1), "it has 1,048,577 bytes; at most 1,048,576 are read"),
    ],
)
def test_a_file_that_is_no_settings_is_told_and_nothing_else_happens(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    (told,) = problems(file)
    assert told.startswith(f": {said}")
    assert told.endswith("; its settings are not used")


def test_what_is_not_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert problems(tmp_path / "fifo") == [": it is not a file; its settings are not used"]
    assert problems(tmp_path) == [": it is a folder; its settings are not used"]
    assert not problems(Path("/dev/null"))
    (tmp_path / "loop").symlink_to("loop")
    assert read_file(str(tmp_path / "loop")).refused == "it cannot be read: Too many levels of symbolic links"
    assert not problems(tmp_path / "loop")


def test_a_byte_order_mark_and_lines_of_windows_are_read_as_they_are_meant(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b'\xef\xbb\xbftheme = "dark"\r\nmemory = 1\r\n')
    read = read_file(str(file))
    assert read.values == {("theme",): "dark"}
    assert [problem.line for problem in read.problems] == [2]


def test_the_line_of_a_value_is_that_in_which_it_begins() -> None:
    text = 'a = """\nb = 1\n"""\nkeys.pane.next = 1\nb = [\n 1,\n 2,\n]\n[sort]\n"u v" = 1\n'
    assert [line_of(text, path) for path in (("a",), ("b",), ("sort", "u v"), ("keys", "pane.next"), ("c",))] == [
        1,
        5,
        10,
        4,
        0,
    ]
    many = "".join(f"#x\n{i} = 1\n" for i in range(2000)) + "x = 1\n"
    assert line_of(many, ("x",)) == 0  # it is not worth that


@needs_root
def test_a_file_that_may_not_be_read_is_as_good_as_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own_file(home, "mouse = false")
    file.chmod(0)
    os.seteuid(NOBODY)
    try:
        read = read_file(str(file))
    finally:
        os.seteuid(0)
    assert (read.values, read.problems) == ({}, [])
    assert "it cannot be read: Permission denied" in read.refused


# Whose they are.


@pytest.fixture
def sudo(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root, called by the user nobody, whose home is a folder of the test."""
    user = pwd.getpwuid(NOBODY)
    theirs = home / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, user.pw_gid)
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    known = pwd.struct_passwd((*user[:5], str(theirs), user.pw_shell))
    found = pwd.getpwuid
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: known if uid == NOBODY else found(uid))
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("SUDO_GID", str(user.pw_gid))
    return theirs


@needs_root
def test_behind_sudo_they_are_the_users_and_belong_to_them(sudo: Path, home: Path) -> None:
    own_file(home, 'theme = "root"')
    own_file(sudo, 'theme = "dark"')
    settings = load()
    assert settings.path == str(sudo / ".config/ebpftop/config.toml")
    assert settings[THEME] == "dark"


@needs_root
def test_the_environment_of_root_is_not_that_of_the_user(
    sudo: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "roots"))
    (home / "roots").mkdir()
    assert load().path == str(sudo / ".config/ebpftop/config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(sudo / "xdg"))  # sudo kept it
    assert load().path == str(sudo / "xdg/ebpftop/config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert load().path == str(sudo / ".config/ebpftop/config.toml")


@needs_root
def test_what_only_root_may_read_is_not_read_for_a_user(sudo: Path, home: Path) -> None:
    secret = home / "secret"
    secret.write_text("password = 'x'")
    secret.chmod(0o600)
    link = sudo / ".config/ebpftop/config.toml"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    assert not load().problems
    assert load(str(secret)).files[0].refused


@needs_root
def test_root_alone_writes_nothing_into_the_home_of_a_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = home / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    with pytest.raises(NotSaved, match="is another user's, and this is root"):
        write(str(theirs / ".config/ebpftop/config.toml"), {("mouse",): False})
    assert not list(theirs.iterdir())
    monkeypatch.setenv("HOME", str(theirs))  # su without -
    assert load().path == os.path.join(pwd.getpwuid(0).pw_dir, ".config/ebpftop/config.toml")


@needs_root
def test_what_the_user_behind_sudo_saves_is_theirs(sudo: Path) -> None:
    settings = load()
    settings.change(MOUSE.path, False)
    os.setegid(pwd.getpwuid(NOBODY).pw_gid)
    os.seteuid(NOBODY)  # as the screen does when the kernel is open
    try:
        assert settings.save() == ""
    finally:
        os.seteuid(0)
        os.setegid(0)
    file = sudo / ".config/ebpftop/config.toml"
    assert [path.stat().st_uid for path in (file, file.parent, file.parent.parent)] == [NOBODY] * 3
    assert load()[MOUSE] is False


@needs_root
def test_what_the_user_may_not_write_is_not_even_read_to_be_changed(
    sudo: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = home / "secret"
    secret.write_bytes(b"\xff")
    monkeypatch.setattr("ebpftop.settings.writing.read_bytes", lambda path: pytest.fail("read"))
    os.seteuid(NOBODY)
    try:
        with pytest.raises(NotSaved, match="it may not be written"):
            write(str(secret), {MOUSE.path: False})
    finally:
        os.seteuid(0)


# Writing.


THEIRS = """\
# Mine.
theme = "dark"   # at night
interval = 2.0

# What I look at first.
[sort]
users = "uid" # by number
"""


def changed(text: str, **values: object) -> str:
    return changed_content(text.encode(), {tuple(name.split("__")): value for name, value in values.items()}).decode()


def test_comments_and_order_stay() -> None:
    assert changed(THEIRS, theme="light") == THEIRS.replace('"dark"', '"light"')
    assert changed(THEIRS, mouse=False) == THEIRS.replace("= 2.0\n", "= 2.0\nmouse = false\n")
    assert changed(THEIRS, interval=None) == THEIRS.replace("interval = 2.0\n", "")
    assert changed(THEIRS, sort__users="execs") == THEIRS.replace('"uid"', '"execs"')
    assert changed(THEIRS, sort__syscalls="p99") == THEIRS + 'syscalls = "p99"\n'
    assert parse(changed(THEIRS, keys__help="f5"))["keys"] == {"help": "f5"}
    assert changed(THEIRS, columns__execs=Columns(("pid",), {"command": 60})).endswith(
        '[columns]\nexecs = {show = ["pid"], widths = {command = 60}}\n'
    )
    assert "sort" not in parse(changed(THEIRS, sort__users=None))


def test_a_key_with_dots_is_changed_where_it_is() -> None:
    text = "[keys]\npane.next = 'f9'\n'help' = 'h'\n"
    assert changed(text, **{"keys__pane.next": "f8"}) == text.replace("'f9'", '"f8"')
    assert parse(changed("", **{"keys__pane.next": "f8"})) == {"keys": {"pane.next": "f8"}}


SPELLINGS = (
    "",
    "panes.execs.height = 2\nlayout='logs'\npanes.trace.hidden = true\n",
    "[panes.execs]\nheight=2\n[sort]\nusers='uid'\n[panes.trace]\nhidden=true\n",
    "panes = {execs = {height = 2}}\n",
    "[panes]\nexecs.height = 2\nexecs.hidden = true\n",
    "[keys]\npane.next='f9'\npane.previous='f8'\n[keys.execs]\nfilter='x'\n",
    "keys.pane.next='f9'\nkeys.help='h'\n",
    "[columns.execs]\nshow=['pid']\n[columns.execs.widths]\npid=9\n# c\n[sort] # s\n",
    "sort.users='uid' # x\nsort.syscalls='max'\nmouse=false\n",
)
CHANGES: tuple[dict[SettingPath, object], ...] = (
    {("panes", "execs"): PaneSize(False, 2.5)},
    {("panes", "execs"): None, ("panes", "users"): PaneSize(True)},
    {("panes", "trace"): None},
    {("keys", "pane.next"): "f7", ("keys", "user"): "f6"},
    {("keys", "pane.next"): None, ("keys", "execs.filter"): None},
    {("columns", "execs"): Columns(("a",), {"b": 4})},
    {("columns", "execs"): None},
    {("sort", "users"): "x", ("sort", "execs"): "-y"},
    {("sort", "users"): None, ("mouse",): True, ("theme",): "dark"},
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_however_it_is_spelled_only_what_is_changed_changes(text: str) -> None:
    for one in CHANGES:
        for other in CHANGES:
            changes = {**one, **other}
            wanted = {**read_tables("", parse(text)).values, **changes}
            made = changed_content(text.encode(), changes).decode()
            found = read_tables("", parse(made))
            assert not found.problems
            assert found.values == {path: value for path, value in wanted.items() if value is not None}, made


def test_what_tomlkit_would_break_is_left_as_it_is() -> None:
    # tomlkit 0.15 writes a comma too many.
    with pytest.raises(Unreadable, match="what is in it can be changed only by hand"):
        changed_content(b"keys = {pane.next = 'f9'}\n", {("keys", "pane.next"): None, ("keys", "user"): "f6"})


def test_byte_order_mark_and_lines_of_windows_stay() -> None:
    content = b'\xef\xbb\xbftheme = "dark"\r\n# c\r\n'
    changed = changed_content(content, {("theme",): "light", ("mouse",): False})
    assert changed == b'\xef\xbb\xbftheme = "light"\r\nmouse = false\r\n# c\r\n'


def test_only_what_differs_from_the_default_is_written(home: Path) -> None:
    settings = load()
    settings.change(MOUSE.path, True)
    settings.change(ASCII.path, True)
    settings.change(ASCII.path, False)
    assert settings.save() == ""
    assert not (home / ".config").exists()
    settings.change(CONFIRM.path, True)
    assert settings.save() == ""
    text = Path(settings.path).read_text()
    assert text.splitlines()[-1] == "confirm = true"
    assert load()[CONFIRM] is True
    settings.change(CONFIRM.path, False)  # it is there already, so it stays
    assert settings.save() == ""
    assert Path(settings.path).read_text().splitlines()[-1] == "confirm = false"
    settings.change(CONFIRM.path, None)
    assert settings.save() == ""
    assert "confirm" not in Path(settings.path).read_text()


def test_two_at_once_keep_what_each_of_them_changed(home: Path) -> None:
    one, other = load(), load()
    one.change(MOUSE.path, False)
    other.change(THEME.path, "light")
    assert (one.save(), other.save()) == ("", "")
    assert parse(Path(one.path).read_text()) == {"mouse": False, "theme": "light"}


def test_a_file_is_replaced_as_a_whole_with_its_mode_and_behind_its_link(home: Path) -> None:
    real = home / "dotfiles.toml"
    real.write_text(THEIRS)
    real.chmod(0o640)
    link = own_file(home, "")
    link.unlink()
    link.symlink_to(real)
    before = real.stat().st_ino
    settings = load()
    settings.change(THEME.path, "light")
    assert settings.save() == ""
    assert link.is_symlink()
    assert '"light"   # at night' in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.stat().st_ino != before
    assert sorted(path.name for path in (*real.parent.iterdir(), *link.parent.iterdir())) == [
        ".config",
        "config.toml",
        "dotfiles.toml",
    ]


def test_what_cannot_be_saved_is_told_and_stays_as_it_was(home: Path) -> None:
    file = own_file(home, "theme = ")
    settings = load()
    settings.change(MOUSE.path, False)
    assert settings.save().startswith(f"Settings are not saved in {file}: it is not TOML")
    assert file.read_text() == "theme = "
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("")
    settings.change(MOUSE.path, False)
    settings.change(ASCII.path, True)
    assert settings.save().startswith(f"Settings are not saved in {file}: ")


@pytest.mark.parametrize(("uid", "behind", "is_saved"), [(0, None, False), (0, "ann", True), (1000, None, True)])
def test_a_recording_that_root_alone_shows_saves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, behind: str | None, is_saved: bool
) -> None:
    file = tmp_path / "config.toml"
    settings = Settings(user=File(str(file)))
    with monkeypatch.context() as patch:
        patch.setattr("ebpftop.kernel.capabilities.give_up_root", lambda _: None)
        patch.setattr(replay, "is_stream", lambda _: True)
        patch.setattr(replay, "_show_pipe", lambda *_: 0)
        patch.setattr(replay, "invoker", lambda: behind)
        patch.setattr(os, "geteuid", lambda: uid)
        assert replay.show(0, "", 1.0, [], settings) == 0
    assert (settings.unsaved == "") is is_saved
    settings.change(MOUSE.path, False)
    assert settings.save() == ""
    assert file.exists() is is_saved
    assert settings[MOUSE] is False


def test_no_home_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotSaved, match=f"there is no folder {tmp_path}/none"):
        write(str(tmp_path / "none/.config/ebpftop/config.toml"), {MOUSE.path: False})
    assert not list(tmp_path.iterdir())
    (tmp_path / "home").mkdir()
    write(str(tmp_path / "home/.config/ebpftop/config.toml"), {MOUSE.path: False})
    assert stat.S_IMODE((tmp_path / "home/.config").stat().st_mode) == 0o700


def test_nothing_is_remembered_if_that_is_not_wanted(home: Path) -> None:
    own_file(home, "remember = false")
    settings = load()
    settings.remember(THEME.path, "light")
    assert not settings.changed
    settings.change(THEME.path, "light")  # on the settings screen
    assert settings.changed == {THEME.path: "light"}


# The command line.


def args_of(*words: str) -> tuple[Namespace, Settings]:
    top = parser(words[0])
    args = top.parse_args(words)
    return args, read_settings(args, top.commands[words[0]], words)


def test_a_screen_about_a_c_file_has_no_other_probes_than_were_typed(home: Path) -> None:
    own_file(home, 'interval = 5\nprobes = ["users"]\n')
    for words in (("load", "hello.c"), ("stream", "--load", "hello.c")):
        assert args_of(*words)[0].probes is None
        assert args_of(*words)[0].interval == 5.0
    assert args_of("load", "hello.c", "--probes", "execs")[0].probes == ("execs",)


def test_an_option_wins_over_the_file(home: Path) -> None:
    own_file(home, 'interval = 5\nhide-self = false\nuid = [0, 1]\nprobes = ["users"]\nlatency = false\nmemory = 64\n')
    args, _ = args_of("stream")
    assert (args.interval, args.hide_self, args.uid, args.probes, args.latency) == (
        5.0,
        False,
        [0, 1],
        ("users",),
        False,
    )
    args, settings = args_of("stream", "--interval=2", "--hide-self", "--uid", "7", "--probes", "execs")
    assert (args.interval, args.hide_self, args.uid, args.probes, args.latency) == (2.0, True, [7], ("execs",), False)
    assert settings.origin(INTERVAL.path) == store.COMMAND_LINE
    assert settings.value(("probes",)) == "execs"
    own_file(home, 'failures = "only"')
    args, settings = args_of("stream", "--failures")
    assert (args.failures, settings[FAILURES]) == (True, "only")
    args, settings = args_of("stream", "--no-failures")
    assert (args.failures, settings[FAILURES]) == (False, "off")
    own_file(home, "failures = false\nuid = [0, 1]")
    assert args_of("stream")[0].failures is False
    args, settings = args_of("stream", "--failures")
    assert (args.failures, settings[FAILURES]) == (True, "folded")
    args, _ = args_of("record", "--", "--uid")
    assert args.uid == [0, 1]


def test_watches_of_the_file_hold_unless_some_are_given(home: Path) -> None:
    own_file(home, "when = ['exit.core', 'exit.code > 0']")
    args, _ = args_of("stream")
    assert [watch.label for watch in args.when] == ["exit.core", "exit.code > 0"]
    args, settings = args_of("stream", "--when", "exit.code == 1")
    assert [watch.label for watch in args.when] == settings.value(("when",)) == ["exit.code == 1"]


@pytest.mark.parametrize("command", ["live", "run", "stream", "record", "replay", "demo", "diff", "convert", "check"])
def test_every_command_prints_its_settings_as_a_file_that_says_the_same(
    home: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    own_file(home, 'theme = "dark"\nuid = ["root"]\n[sort]\nusers = "-uid"\n[keys]\npane.next = "f9"\n')
    option = ["--memory", "64"] if command in ("live", "replay", "demo") else []
    assert main([command, "--print-config", *option]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for setting in SETTINGS:
        assert f"# {setting.about[0].upper()}{setting.about[1:]}."[:60] in out
    if option:
        assert "# Default: 200. From: the command line.\nmemory = 64\n" in out
    copy = home / "copy.toml"
    copy.write_text(out)
    read = read_file(str(copy))
    assert not read.problems
    assert read.values[("uid",)] == [0]
    assert read.values[("sort", "users")] == "-uid"
    assert read.values[("keys", "pane.next")] == "f9"


def test_a_theme_may_look_like_a_number(tmp_path: Path) -> None:
    for text in ("theme = 16", 'theme = "16"'):
        (tmp_path / "file").write_text(text)
        assert read_file(str(tmp_path / "file")).values == {THEME.path: "16"}


def test_the_printed_settings_can_hold_anything(home: Path) -> None:
    hostile = 'a"b\\c\n\x1b[2J\u202e'
    settings = load()
    settings.change(("filters", hostile), hostile)
    settings.change(("columns", hostile), Columns((hostile,), {hostile: 7}))
    assert parse(printed(settings, "live"))["filters"] == {hostile: hostile}
    assert "\x1b" not in printed(settings, "live")
    assert settings.save() == ""
    assert load().entries(TABLES["filters"]) == {hostile: hostile}


def test_a_file_that_was_named_has_to_be_right(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = home / "mine.toml"
    assert main(["stream", "--config", str(file)]) == 2
    assert f"--config: there is no file {file}" in capfd.readouterr().err
    file.write_text("memories = 1\nmouse = 1\n")
    with pytest.raises(SystemExit) as ended:
        main(["stream", "--config", str(file)])
    assert ended.value.code == 2
    first, second = capfd.readouterr().err.splitlines()
    assert f"{file}:1: memories: unknown; did you mean memory?" in first
    assert f"{file}:2: mouse: 1 is not true or false" in second
    (home / "loop").symlink_to("loop")
    assert main(["demo", "--config", str(home / "loop")]) == 2


def test_the_variable_names_a_file_or_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file(home, "mouse = false")
    monkeypatch.setenv(places.VARIABLE, "")
    assert load()[MOUSE] is True
    file = home / "other.toml"
    file.write_text("ascii = true")
    monkeypatch.setenv(places.VARIABLE, str(file))
    assert (load()[MOUSE], load()[ASCII]) == (True, True)


def test_what_was_typed_means_what_the_file_may_say() -> None:
    assert (FLAG.typed("Yes"), FLAG.typed("off"), FLAG.typed("maybe")) == (True, False, "maybe")
    for setting in SETTINGS:
        kind = setting.kind
        if setting.default is not None:
            assert kind.read(kind.typed(kind.shown(setting.default))) == setting.default, setting.name
        for choice in kind.choices:
            kind.read(kind.typed(choice))
    assert kind_of(("uid",)).read(kind_of(("uid",)).typed("root, 7")) == [0, 7]


def test_tomlkit_is_imported_only_to_write() -> None:
    import subprocess

    program = "from ebpftop.cli.settings import load; import sys; load(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, places.VARIABLE: ""},
    )
    assert not {"tomlkit", "tomllib", "difflib"} & set(done.stdout.split())


def test_the_documentation_names_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    table = page.partition("| setting |")[2].partition("\n## ")[0]
    for setting in SETTINGS:
        assert f"`{setting.name}`" in table
    for name in TABLES:
        assert f"[{name}]" in page
