"""What packaging/ has for who runs `ebpftop serve` on many machines, checked by the programs that it is for."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebpftop import __version__
from ebpftop.serving.address import DEFAULT, parse_address
from ebpftop.serving.listener import Health, Listener, listen
from ebpftop.serving.prometheus import exposition
from ebpftop.serving.reading import TotalsReading
from tests.prometheus import Prometheus, needs_prometheus
from tests.unit.test_serving_text import READING

PACKAGING = Path(__file__).parents[2] / "packaging"
UNIT = PACKAGING / "systemd/ebpftop.service"
DASHBOARD = json.loads((PACKAGING / "grafana/ebpftop.json").read_text())
CAPABILITIES = {"BPF", "PERFMON", "DAC_READ_SEARCH"}


@needs_prometheus
def test_alert_rules_fire_for_what_they_are_about_and_for_nothing_else() -> None:
    rules, tests = PACKAGING / "prometheus/ebpftop.rules.yml", PACKAGING / "prometheus/ebpftop.test.yml"
    subprocess.run(["promtool", "check", "rules", rules], check=True)
    subprocess.run(["promtool", "test", "rules", tests], check=True)
    alerts = {rule["alert"] for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]}
    tested = yaml.safe_load(tests.read_text())["tests"][0]["promql_expr_test"][0]["exp_samples"]
    assert {re.findall('alertname="(.*)"', sample["labels"])[0] for sample in tested} == alerts


def queries() -> Iterator[tuple[str, str, str]]:
    """Yield title, query and legend of each query of the dashboard."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


class Hosts:
    """Two hosts that count on with each scrape."""

    def __init__(self) -> None:
        self.count = 0

    def text(self) -> bytes:
        self.count += 1
        return exposition(_times(READING, self.count))


def _times(reading: TotalsReading, factor: int) -> TotalsReading:
    own = reading.own
    assert own.kernel_s is not None
    return reading._replace(
        time=time.time(),
        users=tuple(one._replace(execs=one.execs * factor, failed=one.failed * factor) for one in reading.users),
        exec_errors=tuple((errno, count * factor) for errno, count in reading.exec_errors),
        ends=tuple(one._replace(total=one.total * factor) for one in reading.ends),
        calls=tuple(
            one._replace(
                total=one.total * factor,
                total_ns=one.total_ns * factor,
                histogram_ns=tuple(count * factor for count in one.histogram_ns),
            )
            for one in reading.calls
        ),
        call_errors=tuple(one._replace(total=one.total * factor) for one in reading.call_errors),
        lost=tuple(one._replace(total=factor) for one in reading.lost),
        own=own._replace(cpu_s=own.cpu_s * factor, kernel_s=own.kernel_s * factor),
    )


@needs_prometheus
def test_a_prometheus_has_an_answer_to_each_query_of_the_dashboard(tmp_path: Path) -> None:
    listeners = []
    for _ in range(2):
        listener = Listener(listen(parse_address("127.0.0.1:0")), Hosts().text, lambda: Health(True, ""))
        listener.start()
        listeners.append(listener)
    try:
        prometheus = Prometheus(tmp_path, *(listener.port for listener in listeners))
        with prometheus.running():
            until_s = time.monotonic() + 60
            waits = {(title, query): legend for title, query, legend in queries()}
            found: dict[tuple[str, str], list[dict[str, Any]]] = {}
            while missing := [key for key in waits if not found.get(key)]:
                assert time.monotonic() < until_s, missing
                for title, query in missing:
                    asked = query.replace("$__rate_interval", "3s").replace("$instance", ".*")
                    answer: list[dict[str, Any]] = prometheus.ask(asked)
                    found[title, query] = answer
                threading.Event().wait(0.2)
        for key, legend in waits.items():
            labels = set(re.findall(r"\{\{(\w+)\}\}", legend))
            assert any(labels <= series["metric"].keys() for series in found[key]), (key, legend)
    finally:
        for listener in listeners:
            listener.close()


def test_the_dashboard_names_only_metrics_that_are_served_and_all_of_them_are_somewhere() -> None:
    served = set(re.findall(r"^# TYPE (\w+)", exposition(READING).decode(), re.MULTILINE))
    text = " ".join(query for _, query, _ in queries()) + (PACKAGING / "prometheus/ebpftop.rules.yml").read_text()
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\bebpftop_\w+", text)}
    assert used <= served
    by_group = {name for name in served if name.startswith("ebpftop_unit_")}
    assert served - used - by_group == {"ebpftop_start_timestamp_seconds"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit_without_a_warning(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub("^(ExecStart=)/usr/bin/ebpftop", r"\1/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_image_and_daemonset_give_the_same_capabilities_and_serve_at_the_port_of_the_docs() -> None:
    unit = UNIT.read_text()
    for name in ("CapabilityBoundingSet", "AmbientCapabilities"):
        (given,) = re.findall(f"^{name}=(.*)", unit, re.MULTILINE)
        assert {one.removeprefix("CAP_") for one in given.split()} == CAPABILITIES
    assert "ProtectKernelTunables=" not in unit, "it hides tracefs"
    _, daemonset = yaml.safe_load_all((PACKAGING / "kubernetes/ebpftop.yaml").read_text())
    pod = daemonset["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert set(container["securityContext"]["capabilities"]["add"]) == CAPABILITIES
    assert container["args"] == ["serve", "--listen", f":{DEFAULT.port}"]
    assert container["ports"] == [{"name": "metrics", "containerPort": DEFAULT.port}]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(DEFAULT.port)
    assert container["image"].endswith(f":{__version__}")
    assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}
    image = (PACKAGING / "Containerfile").read_text()
    assert f"--cap-add={','.join(('BPF', 'PERFMON', 'DAC_READ_SEARCH'))}" in image
    assert f"EXPOSE {DEFAULT.port}" in image
