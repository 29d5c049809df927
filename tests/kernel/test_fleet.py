"""A fleet by a real sshd, and by a pipe of clush: hosts that work, that fail, that are killed and come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ebpftop.fleet.connection import Remote
from ebpftop.fleet.model import FleetModel
from ebpftop.fleet.prometheus import Prometheus, PrometheusReading
from ebpftop.fleet.reading import FleetReading, by_pipe, by_ssh
from ebpftop.sources.pipe import PipeSource
from tests.kernel.support import needs_root
from tests.prometheus import Prometheus as Scraping
from tests.prometheus import free_port, needs_prometheus
from tests.sshd import Sshd

pytestmark = needs_root

EBPFTOP = Path(sys.executable).with_name("ebpftop")
PATIENCE_S = 240.0
"""A host compiles, attaches and reports within seconds; beside other tests it takes longer."""


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path, ("web1", "web2"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def remote(sshd: Sshd, command: str = f"env EBPFTOP_CONFIG= {EBPFTOP}", *stream: str) -> Remote:
    return Remote(tuple(sshd.command.split()), command, stream or ("--probes", "execs"))


def wait(reading: FleetReading, wanted: Callable[[FleetModel], object], model: FleetModel | None = None) -> FleetModel:
    model = FleetModel() if model is None else model
    until_s = time.monotonic() + PATIENCE_S
    while not wanted(model):
        assert time.monotonic() < until_s, [*model.hosts.values()]
        assert not reading.has_ended, model.failed
        time.sleep(0.05)
        model.take(reading.news(), time.monotonic())
    return model


def run_marked(mark: str) -> None:
    subprocess.run(["/bin/true", mark], check=True)


def marks(model: FleetModel, mark: str) -> set[str]:
    return {row.started.host for row in model.view.rows() if mark in row.started.command}


def test_programs_of_each_host_come_with_its_name_and_its_panes_get_its_records(sshd: Sshd) -> None:
    reading = by_ssh(sshd.names, remote(sshd))
    try:
        model = wait(reading, lambda model: [row.state for row in model.hosts.values()] == ["up", "up"])
        until_s = time.monotonic() + PATIENCE_S
        while marks(model, "seen-by-both") != {"web1", "web2"}:
            assert time.monotonic() < until_s
            run_marked("seen-by-both")
            time.sleep(0.5)
            model.take(reading.news(), time.monotonic())
        source = PipeSource(reading.open("web1"), called="web1")
        try:
            assert source.header.host == "web1"
            execs: list[object] = []
            while not execs:
                assert time.monotonic() < until_s
                batch = source.poll("execs", 0.2)
                execs = [r for r in batch.records if "seen-by-both" in getattr(r, "argv", ())] if batch else []
        finally:
            source.close()
    finally:
        reading.close()


def test_a_machine_that_is_killed_is_gone_and_comes_back(sshd: Sshd) -> None:
    reading = by_ssh(("web1",), remote(sshd))
    try:
        model = wait(reading, lambda model: model.hosts and model.hosts["web1"].state == "up")
        sshd.stop()
        wait(reading, lambda model: model.hosts["web1"].state in ("gone", "refused"), model)
        wait(reading, lambda model: model.hosts["web1"].state == "refused", model)
        sshd.start()
        reading.retry("web1")
        wait(reading, lambda model: model.hosts["web1"].state == "up", model)
    finally:
        reading.close()


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("/nonexistent/ebpftop", "no ebpftop"),
        (f"setpriv --bounding-set=-all --inh-caps=-all --no-new-privs env EBPFTOP_CONFIG= {EBPFTOP}", "no root"),
        ("echo 'sudo: a password is required' >&2; false", "no root"),
    ],
)
def test_what_cannot_start_there_is_said_in_words(sshd: Sshd, command: str, state: str) -> None:
    reading = by_ssh(("web1",), remote(sshd, command))
    try:
        model = wait(reading, lambda model: model.hosts and model.hosts["web1"].state != "connecting")
        row = model.hosts["web1"]
        assert row.state == state
        assert row.said
        assert row.remedy
    finally:
        reading.close()


def test_a_key_that_is_not_known_is_no_login_and_asks_nobody(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    reading = by_ssh(("web1",), remote(sshd))
    try:
        model = wait(reading, lambda model: model.hosts and model.hosts["web1"].state != "connecting")
        assert model.hosts["web1"].state == "unknown key"
        sshd.trust_key()
        reading.retry("web1")
        wait(reading, lambda model: model.hosts["web1"].state == "up", model)
    finally:
        reading.close()


def test_the_pipe_of_clush_has_each_host_and_what_it_says(sshd: Sshd) -> None:
    clush = shutil.which("clush", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    assert clush is not None, "clustershell is not installed: the extra `test` has it"
    process = subprocess.Popen(
        [
            *(clush, "-w", "web[1-2],nosuch", "-o", f"-F {sshd.config} -o BatchMode=yes"),
            *("env", "EBPFTOP_CONFIG=", str(EBPFTOP), "stream", "--host-field", "--probes", "execs"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert process.stdout is not None
    reading = by_pipe(os.dup(process.stdout.fileno()))
    process.stdout.close()
    try:
        model = wait(
            reading,
            lambda model: (
                {name: row.state for name, row in model.hosts.items()}
                == {"web1": "up", "web2": "up", "nosuch": "no such host"}
            ),
        )
        process.terminate()
        process.wait(PATIENCE_S)
        wait(reading, lambda model: model.input_ended, model)
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        reading.close()


@needs_prometheus
def test_a_real_prometheus_answers_each_question_about_a_real_host(tmp_path: Path) -> None:
    port = free_port()
    serve = subprocess.Popen(
        [str(EBPFTOP), "serve", "--listen", f"127.0.0.1:{port}", "--interval", "0.5"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "EBPFTOP_CONFIG": ""},
    )
    server = Scraping(tmp_path, port)
    try:
        with server.running():
            asked = Prometheus(f"http://127.0.0.1:{server.port}")
            reading = PrometheusReading(asked)
            model = FleetModel()
            name = f"127.0.0.1:{port}"
            until_s = time.monotonic() + PATIENCE_S
            while not (name in model.hosts and model.hosts[name].execs and model.hosts[name].failures):
                assert time.monotonic() < until_s, (model.trouble, model.hosts)
                run_marked("counted")
                with suppress(FileNotFoundError):
                    subprocess.run(["/nonexistent"], check=False)
                time.sleep(0.2)
                reading.ask()
                model.take(reading.news(), time.monotonic())
            row = model.hosts[name]
            assert (row.state, model.trouble) == ("up", "")
            assert row.calls
            assert row.cost
            answers = dict(reading.ask_host(name))
            assert answers["Calls each second"]
            assert answers["99th percentile of calls, in seconds"]
            assert {sample.labels["errno"] for sample in answers["Execs that fail each second"]} >= {"ENOENT"}
            assert {sample.labels["reason"] for sample in answers["Processes that end each second"]} >= {"ok"}
            serve.terminate()
            serve.wait(PATIENCE_S)
            while model.hosts[name].state != "gone":
                assert time.monotonic() < until_s
                time.sleep(0.2)
                reading.ask()
                model.take(reading.news(), time.monotonic())
    finally:
        serve.kill()
        serve.wait(PATIENCE_S)
