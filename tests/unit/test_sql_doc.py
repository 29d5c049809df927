"""docs/sql.md: every query runs, and answers, on the recording of the demo, compressed or not."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest

from ebpftop.conversion.input import Input
from ebpftop.conversion.tables import RUNS, to_csv
from ebpftop.recording.passage import Passage
from ebpftop.recording.reader import open_file
from ebpftop.recording.zstd_frames import zstd

PAGE = (Path(__file__).parents[2] / "docs/sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
DEMO = Path(str(files("ebpftop").joinpath("demo/demo.jsonl.zst")))


@pytest.mark.parametrize("name", ["demo.jsonl.zst", "demo.jsonl"])
def test_every_query_gives_rows(name: str, tmp_path: Path) -> None:
    packed = DEMO.read_bytes()
    (tmp_path / name).write_bytes(packed if name.endswith(".zst") else zstd.decompress(packed))
    assert len(QUERIES) == 12
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for query in QUERIES:
            assert query.count("monday") in (0, 1)
            rows = connection.execute(query.replace("monday.jsonl.zst", str(tmp_path / name))).fetchall()
            assert rows, query


def test_a_table_of_convert_is_read_with_its_types(tmp_path: Path) -> None:
    passage = Passage(open_file(str(DEMO)), str(DEMO))
    source = Input(passage.header, passage.records(), passage.first_time())
    (tmp_path / "programs.csv").write_bytes(b"".join(to_csv(source, RUNS)))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE programs AS FROM '{tmp_path}/programs.csv'")
        kinds = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE programs)").fetchall())
        assert (kinds["time_unix_s"], kinds["pid"], kinds["truncated"]) == ("DOUBLE", "BIGINT", "BOOLEAN")
        query = "SELECT outcome, count(*), any_value(argv::JSON ->> 0) FROM programs GROUP BY ALL"
        found = {outcome: (count, first) for outcome, count, first in connection.execute(query).fetchall()}
    assert {"exited", "signal", "exec", "failed"} <= found.keys()
    assert all(count and first for count, first in found.values())


def test_the_answers_are_those_of_the_records() -> None:
    with duckdb.connect() as connection:
        connection.execute(QUERIES[0].replace("monday.jsonl.zst", str(DEMO)))
        failed = connection.execute("SELECT sum(times) FROM (" + QUERIES[1].replace("LIMIT 10;", ")")).fetchall()
        lines = [line for line in zstd.decompress(DEMO.read_bytes()).split(b"\n") if b'"kind":"exec"' in line]
        assert failed == [(sum(b'"ret":-' in line for line in lines),)]
        calls = connection.execute("SELECT sum(calls) FROM (" + QUERIES[8].rstrip().rstrip(";") + ")").fetchall()
        newest = connection.execute("SELECT sum(calls) FROM (" + QUERIES[7].replace("LIMIT 15;", ")")).fetchall()
        assert calls == newest
