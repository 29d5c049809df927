"""Questions to Prometheus: what it answers, and each way in which it may not, in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from ebpftop.core.source import SourceError
from ebpftop.fleet import prometheus as asking
from ebpftop.fleet.prometheus import FIGURES, HOSTS, OF_HOST, Prometheus, PrometheusReading
from tests.prometheus import free_port


@contextmanager
def server(status: int, body: bytes) -> Iterator[str]:
    """A web server that answers all with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join()


def answer(*series: tuple[dict[str, str], str]) -> bytes:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in series]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


class Known(Prometheus):
    """Answers questions from a table; remembers them."""

    def __init__(self, table: dict[str, list[asking.Sample]]) -> None:
        super().__init__("http://known")
        self.table = table
        self.asked: list[str] = []

    def ask(self, query: str) -> list[asking.Sample]:
        self.asked.append(query)
        return self.table.get(query, [])


def of(**values: float) -> list[asking.Sample]:
    return [asking.Sample({"instance": name}, value) for name, value in values.items()]


def test_an_answer_has_labels_and_numbers_and_no_number_that_is_none() -> None:
    body = answer(({"instance": "a"}, "1.5"), ({"instance": "b"}, "NaN"), ({"instance": "c"}, "+Inf"))
    with server(200, body) as url:
        assert Prometheus(url + "/").ask("up") == [asking.Sample({"instance": "a"}, 1.5)]


def test_texts_of_an_answer_are_harmless() -> None:
    with server(200, answer(({"instance": "a\x1b[2J"}, "1"))) as url:
        assert Prometheus(url).ask("up")[0].labels == {"instance": "a\\x1b[2J"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "is not a Prometheus"),
        (200, b'{"status": "error"}', "is not a Prometheus"),
        (200, b"[" * 100_000, "is not a Prometheus"),
        (404, b"<html>", "answers 404"),
        (401, b"", "wants a login"),
        (422, json.dumps({"status": "error", "error": "too many \x1b samples"}).encode(), "too many \\x1b samples"),
        (503, b"", "answers 503"),
    ],
)
def test_what_is_wrong_is_said_in_words(status: int, body: bytes, words: str) -> None:
    with server(status, body) as url, pytest.raises(SourceError) as caught:
        Prometheus(url).ask("up")
    assert words in str(caught.value)


def test_an_answer_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_ANSWER_BYTES", 100)
    with server(200, answer(({"instance": "a" * 200}, "1"))) as url, pytest.raises(SourceError, match="more than"):
        Prometheus(url).ask("up")


def test_nobody_at_the_address_is_said_with_what_helps() -> None:
    with pytest.raises(SourceError, match=r"does not answer: .*is Prometheus running there"):
        Prometheus(f"http://127.0.0.1:{free_port()}").ask("up")


def test_hosts_have_their_figures_and_states() -> None:
    table = {
        HOSTS: [asking.Sample({"instance": name, "version": "1", "kernel": "6.18"}, 1.0) for name in "abcd"],
        FIGURES["up"]: of(a=1, b=0, c=1, d=1),
        FIGURES["age"]: of(a=3, c=300, d=2),
        FIGURES["execs"]: of(a=31, c=1, d=1),
        FIGURES["lost"]: of(a=54),
        FIGURES["off"]: of(d=1),
    }
    reading = PrometheusReading(Known(table))
    reading.ask()
    (news,) = reading.news()
    rows = {row.name: row for row in news.hosts}
    assert {name: row.state for name, row in rows.items()} == {"a": "up", "b": "gone", "c": "stale", "d": "up"}
    assert (rows["a"].execs, rows["a"].lost, rows["a"].said, rows["a"].kernel) == (31, 54, "", "6.18")
    assert "probe" in rows["d"].said
    assert rows["b"].remedy
    assert reading.news() == []


def test_each_round_asks_each_question_once_and_one_of_a_host_only_about_it() -> None:
    known = Known({})
    reading = PrometheusReading(known)
    reading.ask()
    assert known.asked == [HOSTS, *FIGURES.values()]
    known.asked.clear()
    reading.ask_host('a"\\')
    assert len(known.asked) == len(OF_HOST)
    assert all('{instance="a\\"\\\\"}' in query for query in known.asked)


def test_a_prometheus_without_metrics_of_ebpftop_says_what_helps() -> None:
    reading = PrometheusReading(Known({}))
    reading.ask()
    assert "ebpftop serve" in reading.news()[0].trouble


def test_an_error_is_news_and_the_next_answer_lifts_it() -> None:
    with server(404, b"") as url:
        reading = PrometheusReading(Prometheus(url))
        reading.ask()
        assert "answers 404" in reading.news()[0].trouble
    reading.prometheus = Known({HOSTS: of(a=1)})
    reading.ask()
    assert reading.news()[0].trouble == ""
