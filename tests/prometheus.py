"""A real Prometheus, for tests that ask it what it has scraped."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="Prometheus is not installed: script/test does that",
)


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes its targets, ports of this machine, five times a second."""

    def __init__(self, folder: Path, *targets: int, job: str = "ebpftop") -> None:
        self.folder = folder
        self.port = free_port()
        addresses = ", ".join(f"'127.0.0.1:{target}'" for target in targets)
        (folder / "p.yml").write_text(
            "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
            f"scrape_configs: [{{job_name: {job}, static_configs: [{{targets: [{addresses}]}}]}}]\n"
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have it run; it keeps what it has scraped for the next time."""
        with open(self.folder / "log", "ab") as log:
            child = subprocess.Popen(
                [
                    *("prometheus", f"--config.file={self.folder}/p.yml", f"--storage.tsdb.path={self.folder}/d"),
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            child.terminate()
            child.wait(60)

    def ask(self, query: str, at: float | None = None) -> list[dict[str, list[float]]]:
        """Return the answer to a query; nothing while it does not answer yet."""
        asked = urllib.parse.urlencode({"query": query, **({} if at is None else {"time": f"{at:.3f}"})})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{asked}", timeout=30) as answer:
                found: list[dict[str, list[float]]] = json.load(answer)["data"]["result"]
                return found
        except OSError:
            return []

    def values(self, series: str) -> Sequence[list[float]]:
        """Return time and value of all samples of one series."""
        found = self.ask(f"{series}[1h]")
        return found[0]["values"] if found else ()  # type: ignore[return-value]  # a range has lists of them
