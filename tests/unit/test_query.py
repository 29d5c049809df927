"""The language of typed filters: what each term means, and what is said of one that means nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ebpftop.core.process_records import Exec, Exit
from ebpftop.filters.kinds import AnyOf, Choice, Named, Number, Text, duration, share
from ebpftop.filters.query import Field, Language, Query, QueryError, text_field
from ebpftop.filters.regex import TERMS_MAX
from ebpftop.models.exec_row import ExecRow
from ebpftop.models.exec_watch import watch_of
from ebpftop.models.opens import OpenLog
from ebpftop.models.processes import Lineage
from ebpftop.models.program_fields import ERRNO, EXECS, SIGNAL


@dataclass(frozen=True)
class Dog:
    name: str = "rex"
    owner: tuple[int, str | None] = (1000, "ada")
    ret: tuple[int, str | None] = (0, None)
    signal: tuple[int, str] | None = None
    age_s: float | None = 3.0
    barks: int = 120
    good: float = 0.5
    toys: tuple[str, ...] = ("ball", "old shoe")
    state: str = "awake"
    unit: str | None = None


def text_of(dog: Dog) -> str:
    return f"{dog.name} {dog.owner[1]} {dog.state} {' '.join(dog.toys)}"


DOGS: Language[Dog] = Language(
    (
        text_field("name", lambda d: d.name, "", "comm"),
        Field("owner", Named(), lambda d, _: d.owner, "", ("uid",)),
        Field("ret", ERRNO, lambda d, _: d.ret),
        Field("signal", SIGNAL, lambda d, _: d.signal),
        Field("age", duration(), lambda d, now: None if d.age_s is None else d.age_s + now, varies=True),
        Field("barks", Number(), lambda d, _: d.barks),
        Field("good", share(), lambda d, _: d.good),
        Field("toy", AnyOf(Text()), lambda d, _: d.toys),
        Field("state", Choice(("awake", "asleep", "away")), lambda d, _: d.state),
        text_field("unit", lambda d: d.unit),
    ),
    text_of,
    lambda d: d.name,
)


def query(text: str) -> Query[Dog]:
    parsed = DOGS.parse(text)
    assert parsed is not None
    return parsed


REX = Dog()
LUNA = Dog("Luna", (0, "root"), (-2, "ENOENT"), (11, "SIGSEGV"), 90.0, 4_000, 0.1, (), "asleep", "kennel.service")


@pytest.mark.parametrize(
    ("typed", "rex", "luna"),
    [
        # Expressions search all that is shown; several must all match.
        ("rex", True, False),
        ("ball|luna", True, True),
        ("rex ball", True, False),
        ("ball rex", True, False),
        ("rex root", False, False),
        ('"old shoe"', True, False),
        ('"shoe old"', False, False),
        ("(old shoe|asleep)", True, True),
        ("old[ ]shoe", True, False),
        ("old\\ shoe", True, False),
        ("Luna", False, True),
        ("LUNA", False, False),
        # Anchored to what a row is about.
        ("^r", True, False),
        ("^luna$", False, True),
        ("ball$", False, False),
        # Inverted: a term, or all of them.
        ("!rex", False, True),
        ("!^rex", False, True),
        ("!rex root", False, True),
        ("rex !root", True, False),
        ("! rex ball", False, True),
        ("!!rex", True, False),
        ('"!rex"', False, False),
        # Texts by name.
        ("name:rex", True, False),
        ("name:re", False, False),
        ("name:r*", True, False),
        ("name:?ex", True, False),
        ("name:luna", False, True),
        ("name:LUNA", False, False),
        ("NAME:rex", True, False),
        ("comm:rex,luna", True, True),
        ("name:~^(rex|l.*)$", True, True),
        ("name:!rex", False, True),
        ("!name:rex", False, True),
        ("!name:!rex", True, False),
        ("toy:'old shoe'", True, False),
        ("toy:old*", True, False),
        ("!toy:ball", False, True),
        ("unit:*", False, True),
        ("!unit:*", True, False),
        ("unit:kennel*", False, True),
        # Numbers, with units.
        ("barks:120", True, False),
        ("barks:>120", False, True),
        ("barks:>=120", True, True),
        ("barks:<1k", True, False),
        ("barks:4k", False, True),
        ("barks:<.2k", True, False),
        ("barks:>1M", False, False),
        ("barks:120,4000", True, True),
        ("good:>10%", True, False),
        ("good:>=10%", True, True),
        ("good:10", False, True),
        # Time spans.
        ("age:>1s", True, True),
        ("age:>1m", False, True),
        ("age:<=3000ms", True, False),
        ("age:>2999999us", True, True),
        ("age:>2999999µs", True, True),
        ("age:<0.1h", True, True),
        ("age:>0", True, True),
        # What has a number and a name.
        ("owner:ada", True, False),
        ("uid:0", False, True),
        ("owner:>=1000", True, False),
        ("owner:a*", True, False),
        ("ret:ENOENT", False, True),
        ("ret:enoent", False, True),
        ("ret:NOENT", False, True),
        ("ret:E*", False, True),
        ("ret:0", True, False),
        ("ret:<0", False, True),
        ("ret:-2", False, True),
        ("signal:SEGV", False, True),
        ("signal:SIGSEGV", False, True),
        ("signal:11", False, True),
        ("signal:*", False, True),
        ("!signal:*", True, False),
        # Words.
        ("state:awake", True, False),
        ("state:as", False, True),
        # What only looks like a field is text.
        ("http://x", False, False),
        ("!nothing:x", True, True),
        # All of it.
        ("name:l* ret:ENOENT age:>1s !owner:ada asleep ^L", False, True),
        ("name:l* ret:ENOENT age:>1s owner:ada", False, False),
    ],
)
def test_what_a_filter_means(typed: str, rex: bool, luna: bool) -> None:
    assert (query(typed).matches(REX), query(typed).matches(LUNA)) == (rex, luna)


@pytest.mark.parametrize("typed", ["", "  ", "!", " ! ", '""', "!''"])
def test_nothing_typed_is_no_filter(typed: str) -> None:
    assert DOGS.parse(typed) is None


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("age:>1", "age:>1: add a unit: 1s"),
        ("rex age:>1.5", "age:>1.5: add a unit: 1.5s"),
        ("age:1s", "age:1s: add > or <: >1s"),
        ("age:>", "age:>: add a number: >1s"),
        ("age:>1y", "age:>1y: unknown unit y: one of ns us ms s m h d"),
        ("age:", "age:: add a value: >1s"),
        ("age:old", "age:old: not a number; try >1s"),
        ("barks:>1kg", "barks:>1kg: unknown unit kg: one of k K M G"),
        ("barks:loud", "barks:loud: not a number; try >100"),
        ("name:", "name:: add a value: gcc or cc*"),
        ("name:,", "name:,: add a value: gcc or cc*"),
        ("name:~(", "name:~(: a ( is not closed"),
        ("ret:ENOENTT", "ret:ENOENTT: unknown errno ENOENTT: ENOENT?"),
        ("ret:x", "ret:x: unknown errno x: ENOENT"),
        ("signal:SEVG", "signal:SEVG: unknown signal SEVG: SIGSEGV?"),
        ("state:a", "state:a: one of awake asleep away"),
        ("state:dead", "state:dead: one of awake asleep away"),
        ("tru(e", "a ( is not closed"),
        (" ".join(["x"] * (TERMS_MAX + 1)), f"at most {TERMS_MAX} terms"),
    ],
)
def test_what_is_none_is_said_with_what_would_work(typed: str, words: str) -> None:
    with pytest.raises(QueryError) as raised:
        DOGS.parse(typed)
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("typed", "doubt"),
    [
        ("rex conm:x", "conm: is searched as text; the field is comm"),
        ("bark:>3", "bark: is searched as text; the field is barks"),
        ("zzz:3", "zzz: is searched as text; no field here"),
        ("http://x std::vector 8:0 name:rex", ""),
    ],
)
def test_what_looks_like_a_field_and_is_none_is_doubted(typed: str, doubt: str) -> None:
    assert DOGS.doubt(typed) == doubt


@pytest.mark.parametrize(
    ("typed", "begin", "choices"),
    [
        ("na", 0, ["name:"]),
        ("rex !s", 5, ["signal:", "state:"]),
        ("state:aw", 6, ["awake", "away"]),
        ("state:!asl", 7, ["asleep"]),
        ("ret:enoen", 4, ["ENOENT"]),
        ("name:r", 5, []),
        ("zz", 0, []),
    ],
)
def test_tab_completes_names_of_fields_and_of_values(typed: str, begin: int, choices: list[str]) -> None:
    assert DOGS.completions(typed, len(typed)) == (begin, choices)


def test_time_that_passes_changes_what_matches() -> None:
    young = query("age:>10s")
    assert young.varies
    assert not query("barks:>10").varies
    assert not young.matches(REX, 6.9)
    assert young.matches(REX, 7.1)


def test_what_is_unknown_matches_no_comparison() -> None:
    unknown = Dog(age_s=None)
    assert not query("age:>0s").matches(unknown)
    assert not query("age:<1s").matches(unknown)


def test_the_terms_share_the_steps_of_a_search() -> None:
    far = Dog(toys=("x" * 100_000 + "wwaldo",))
    assert query("wa+ldo").matches(far)
    assert not query(" ".join(["wa+ldo"] * 15)).matches(far)


def test_the_fields_of_an_event_are_those_of_its_record() -> None:
    assert " ".join(OpenLog().language.names) == "pid tid user comm call dirfd path flags ret duration"


def test_the_exec_log_has_the_fields_that_its_page_lists() -> None:
    assert {"comm", "pid", "ppid", "user", "exit", "signal", "ret", "duration", "unit"} <= set(EXECS.names)


def _program(pid: int, comm: str, **rest: object) -> Exec:
    known: dict[str, object] = {
        **{"time": 100.0, "pid": pid, "tid": pid, "ppid": 1, "uid": 0, "user": "root", "comm": comm},
        **{"file": f"/bin/{comm}", "argv": (comm,), "truncated": False, "ret": 0, "error": None, "cgroup": "/"},
        "start_ns": pid * 1000,
    }
    return Exec(**(known | rest))  # type: ignore[arg-type]


def test_programs_are_found_by_where_they_run() -> None:
    record = _program(
        7, "sh", exe="/usr/bin/dash", cwd="/srv/shop", root="/jail", tty="pts/3", sid=41,
        env={"LANG": "C"}, env_names=("LANG", "LD_PRELOAD"),
    )  # fmt: skip
    row = ExecRow(record, Lineage(7, 7000, 1))
    nowhere = ExecRow(_program(8, "sh"), Lineage(8, 8000, 1))
    where = ("exe:dash", "exe:/usr/*", "cwd:/srv/*", "root:*", "tty:pts/*", "tty:*", "sid:41", "/srv/shop", "bin/dash")
    for text in (*where, "env:LD_*", "env:LANG", "env:LANG=C", "env:*"):
        query = EXECS.parse(text)
        assert query is not None
        assert query.matches(row, 0), text
        assert not query.matches(nowhere, 0), text
    hidden = EXECS.parse("exe:memfd:*")
    assert hidden is not None
    assert hidden.matches(ExecRow(_program(9, "x", exe="memfd:x"), Lineage(9, 9000, 1)), 0)


def test_a_watch_looks_at_the_end_of_a_program_if_the_filter_asks_how_it_ended() -> None:
    query = EXECS.parse("comm:cc duration:>1s signal:SEGV")
    assert query is not None
    tests = watch_of("crashes", query).tests
    end = Exit(time=105.0, pid=7, uid=0, comm="cc", code=None, signal="SIGSEGV", duration_s=5.0, start_ns=7000)
    assert not tests[Exec](_program(7, "cc"))
    assert tests[Exit](end)
    assert not tests[Exit](end), "it ended once"
    assert not tests[Exec](_program(8, "as"))
    assert not tests[Exit](
        Exit(time=105.0, pid=8, uid=0, comm="as", code=0, signal=None, duration_s=5.0, start_ns=8000)
    )


def test_a_watch_reports_a_program_at_its_start_if_that_is_enough() -> None:
    query = EXECS.parse("comm:cc")
    assert query is not None
    tests = watch_of("compilers", query).tests
    assert set(tests) == {Exec}
    assert tests[Exec](_program(7, "cc"))
    assert not tests[Exec](_program(7, "as"))
