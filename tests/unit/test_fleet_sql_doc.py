"""docs/fleet-sql.md: DuckDB answers each question to three hosts, and ClickHouse the same where it is installed."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ebpftop.recording.zstd_frames import zstd

PAGE = (Path(__file__).parents[2] / "docs/fleet-sql.md").read_text()
BLOCKS = re.findall(r"```sql ?(\w*)\n(.*?)```", PAGE, re.DOTALL)
QUESTIONS = [text for engine, text in BLOCKS if not engine]
DEMO = Path(str(files("ebpftop").joinpath("demo/demo.jsonl.zst")))
# The demo is all of web-1. web-2 has half of its programs, calls that take five times as long, and a program that no
# other has, which ran out of memory; web-3 lost some.
HOSTS = ("web-1", "web-2", "web-3")

Row = dict[str, Any]


def made(kind: str) -> list[str]:
    """Return the statements that make the tables of an engine."""
    texts = [text for engine, text in BLOCKS if engine == kind]
    return [statement for text in texts for statement in re.split(r";\s*\n", text) if statement.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of each host, whose end is now: the questions are about the last hour."""
    folder = tmp_path_factory.mktemp("fleet")
    lines = [json.loads(line) for line in zstd.decompress(DEMO.read_bytes()).splitlines()]
    lines = [line for line in lines if line["kind"] in ("header", "exec", "exit", "syscalls", "lost", "users", "own")]
    later = time.time() - 9 - max(line.get("time", 0.0) for line in lines)
    odd = next(line for line in lines if line["kind"] == "exec" and line["exe"])
    odd = {**odd, "exe": "/tmp/.x/miner", "comm": "miner", "argv": ["miner", "-p"], "pid": 4, "start_ns": 4}
    killed = {"kind": "exit", "pid": 4, "start_ns": 4, "comm": "miner", "code": None, "signal": "SIGKILL", "oom": True}
    killed |= {"time": odd["time"] + 1, "user_s": 1e4, "system_s": 0.5, "max_rss_bytes": 1 << 40, "uid": 0}
    for number, host in enumerate(HOSTS):
        text = b""
        for line in (*lines, odd, killed) if host == "web-2" else lines:
            if host == "web-2" and line["kind"] in ("exec", "exit") and line["pid"] % 2:
                continue
            moment = {name: line[name] + later + number for name in ("time", "started") if name in line}
            mine = {**line, **moment, "host": host}
            if mine["kind"] == "exit":
                mine["user_s"] = (mine["user_s"] or 0) + number / 1000  # who is first is never by chance
            if host == "web-2" and mine["kind"] == "syscalls":
                mine["rows"] = [{**row, "total_ns": 5 * row["total_ns"]} for row in mine["rows"]]
            text += json.dumps(mine).encode() + b"\n"
        if host == "web-3":
            lost = {"kind": "lost", "host": host, "time": time.time(), "count": 7, "probe": "execs", "where": "ring"}
            text += json.dumps(lost).encode() + b"\n"
        (folder / f"{host}.jsonl.zst").write_bytes(zstd.compress(text))
    return folder


class DuckDb:
    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        for statement in made("duckdb"):
            self._connection.execute(statement.replace("web-*", f"{folder}/web-*"))

    def ask(self, question: str) -> list[Row]:
        found = self._connection.execute(question)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class ClickHouse:
    def __init__(self, folder: Path) -> None:
        # An extra of its own, for its size.
        session = pytest.importorskip("chdb.session", reason="needs ClickHouse: pip install chdb-core")
        self._session = session.Session(str(folder / "clickhouse"))
        self._session.query("CREATE DATABASE fleet")
        self._session.query("USE fleet")
        for statement in made("clickhouse"):
            self._session.query(statement.replace("web-*", f"{folder}/web-*"))

    def ask(self, question: str) -> list[Row]:
        answer = self._session.query(question.strip().removesuffix(";"), "JSONEachRow").data()
        return [json.loads(line) for line in str(answer).splitlines()]

    def close(self) -> None:
        self._session.close()


@pytest.fixture(scope="module")
def duck(folder: Path) -> DuckDb:
    return DuckDb(folder)


@pytest.fixture(scope="module")
def clickhouse(folder: Path) -> Iterator[ClickHouse]:
    engine = ClickHouse(folder)
    yield engine
    engine.close()


def plain(rows: list[Row]) -> list[Row]:
    """Return *rows* as both engines would have them: times as Unix seconds, numbers as numbers."""

    def value(one: Any) -> Any:
        if isinstance(one, str) and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", one):
            one = datetime.fromisoformat(one).replace(tzinfo=timezone.utc)
        if isinstance(one, datetime):
            return one.timestamp()
        if isinstance(one, str) and re.fullmatch(r"-?\d+", one):
            return int(one)
        return int(one) if hasattr(one, "as_tuple") else one

    return [{name: value(one) for name, one in row.items()} for row in rows]


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10


@pytest.mark.parametrize("number", range(1, 11))
def test_each_question_has_an_answer(duck: DuckDb, number: int) -> None:
    assert duck.ask(QUESTIONS[number - 1])


@pytest.mark.parametrize("number", range(1, 11))
def test_clickhouse_answers_the_same(duck: DuckDb, clickhouse: ClickHouse, number: int) -> None:
    expected, found = map(plain, (duck.ask(QUESTIONS[number - 1]), clickhouse.ask(QUESTIONS[number - 1])))
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for mine, theirs in zip(expected, found, strict=True):
        for name, one in mine.items():
            if isinstance(one, float):
                # Of rounding: a digit of what is shown; microseconds of a time.
                assert math.isclose(one, theirs[name], rel_tol=1e-12, abs_tol=0.11), (mine, theirs)
            else:
                assert one == theirs[name], (mine, theirs)


def test_the_answers_are_true(duck: DuckDb) -> None:
    lines = [json.loads(line) for line in zstd.decompress(DEMO.read_bytes()).splitlines()]
    execs = [line for line in lines if line["kind"] == "exec"]
    hosts = {row["host"]: row for row in duck.ask(QUESTIONS[1])}
    assert (hosts["web-1"]["execs"], hosts["web-1"]["failed"]) == (len(execs), sum(one["ret"] < 0 for one in execs))
    assert hosts["web-2"]["execs"] == sum(one["pid"] % 2 == 0 for one in execs) + 1
    alone = [(row["exe"], row["on_host"]) for row in duck.ask(QUESTIONS[2])]
    assert alone == [("/tmp/.x/miner", "web-2")]
    killed = {row["comm"]: row for row in duck.ask(QUESTIONS[4])}
    assert (killed["miner"]["out_of_memory"], killed["miner"]["max_rss_bytes"]) == (1, 1 << 40)
    assert duck.ask(QUESTIONS[6])[0]["host_of_the_longest"] == "web-2"
    silent = {row["host"]: row for row in duck.ask(QUESTIONS[9])}
    assert silent["web-3"]["lost"] == 7
    assert {row["kernel"] for row in silent.values()} == {lines[0]["kernel"]}
    slow = duck.ask(QUESTIONS[8])
    assert {(row["host"], row["times"]) for row in slow[:5]} == {("web-2", 5.0)}
