"""Where telemetry is sent: `--otlp URL` and the variables of OpenTelemetry."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ebpftop.cli.commands import parser
from ebpftop.commands.serve import chosen_options
from ebpftop.commands.serve_otlp import sending
from ebpftop.core.source import SourceError, UsageError
from ebpftop.serving.otlp.connection import tls_context
from ebpftop.serving.otlp.settings import Certificates, Settings, is_disabled, read_settings

OTLP = "OTEL_EXPORTER_OTLP_"


def read(url: str = "", **environment: str) -> Settings:
    """Return the settings with variables whose names begin with OTEL_."""
    return read_settings(
        url, {f"OTEL_{name}": value for name, value in environment.items()}, {"service.name": "ebpftop"}
    )


def places(settings: Settings) -> tuple[str, str]:
    return str(settings.logs), str(settings.metrics)


@pytest.mark.parametrize(
    ("url", "environment", "logs", "metrics"),
    [
        ("", {}, "http://localhost:4318/v1/logs", "http://localhost:4318/v1/metrics"),
        ("http://c", {}, "http://c:80/v1/logs", "http://c:80/v1/metrics"),
        ("https://c/", {}, "https://c:443/v1/logs", "https://c:443/v1/metrics"),
        ("https://[::1]:9/a/b/", {}, "https://[::1]:9/a/b/v1/logs", "https://[::1]:9/a/b/v1/metrics"),
        ("", {"ENDPOINT": "http://c:1/x"}, "http://c:1/x/v1/logs", "http://c:1/x/v1/metrics"),
        # The one of a signal is used as it is.
        (
            "",
            {"ENDPOINT": "http://c:1", "LOGS_ENDPOINT": "https://l/in?tenant=7"},
            "https://l:443/in",
            "http://c:1/v1/metrics",
        ),
        ("", {"METRICS_ENDPOINT": "http://m"}, "http://localhost:4318/v1/logs", "http://m:80/"),
        # The command line wins over all of them.
        (
            "http://c",
            {"ENDPOINT": "http://x", "LOGS_ENDPOINT": "http://y"},
            "http://c:80/v1/logs",
            "http://c:80/v1/metrics",
        ),
        ("", {"ENDPOINT": " "}, "http://localhost:4318/v1/logs", "http://localhost:4318/v1/metrics"),
    ],
)
def test_where(url: str, environment: dict[str, str], logs: str, metrics: str) -> None:
    found = read(url, **{f"EXPORTER_OTLP_{name}": value for name, value in environment.items()})
    assert places(found) == (logs, metrics)


def test_a_query_is_sent_and_not_shown() -> None:
    settings = read(EXPORTER_OTLP_LOGS_ENDPOINT="https://l/in?key=s3cret")
    assert settings.logs is not None
    assert settings.logs.path == "/in?key=s3cret"
    assert "s3cret" not in str(settings.logs)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *[("c:4318", "not an URL of http"), ("ftp://c", "not an URL of http"), ("http://", "not an URL of http")],
        *[("http://c:99999", "not an URL"), ("http://c:x", "not an URL"), ("http://[::1", "not an URL")],
        *[("http://joe:s3cret@c", "OTLP_HEADERS: Authorization"), ("http://c/#a", "a fragment or a query")],
        *[("http://c/?a=b", "a fragment or a query"), ("http://c/ä", "not ASCII"), ("http://c/a b", "a blank")],
        *[("http://c/\r\nX: y", "cannot be part"), ("http://c/v1/logs", "/v1/logs is appended by ebpftop")],
        ("http://c/v1/metrics/", "name what is before it"),
        *[("http://c:0", "port 0"), ("http://a..b", "the name a..b"), ("http://.h:1", "the name .h")],
        (f"http://{'a' * 64}.x", "no machine has the name"),
    ],
)
def test_what_is_no_place(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        read(url)
    assert "--otlp" in str(error.value)
    assert reason in str(error.value)
    assert "s3cret" not in str(error.value)


def test_headers_timeout_and_compression_are_those_of_the_signal_or_of_all() -> None:
    settings = read(
        EXPORTER_OTLP_HEADERS="Authorization=Basic%20abc, x-tenant = 7 ,",
        EXPORTER_OTLP_METRICS_HEADERS="x-a=1%2C2",
        EXPORTER_OTLP_TIMEOUT="2500",
        EXPORTER_OTLP_LOGS_TIMEOUT="100",
        EXPORTER_OTLP_COMPRESSION="gzip",
        EXPORTER_OTLP_LOGS_COMPRESSION="none",
        EXPORTER_OTLP_PROTOCOL="http/json",
        METRIC_EXPORT_INTERVAL="15000",
    )
    assert settings.logs is not None
    assert settings.metrics is not None
    assert settings.logs.headers == (("Authorization", "Basic abc"), ("x-tenant", "7"))
    assert settings.metrics.headers == (("x-a", "1,2"),)
    assert (settings.logs.timeout_s, settings.metrics.timeout_s) == (0.1, 2.5)
    assert (settings.logs.gzip, settings.metrics.gzip) == (False, True)
    assert settings.metric_interval_s == 15.0


def test_what_holds_if_nothing_is_said() -> None:
    settings = read()
    assert settings.logs is not None
    assert (settings.logs.headers, settings.logs.timeout_s, settings.logs.gzip) == ((), 10.0, True)
    assert settings.metric_interval_s == 60.0
    assert settings.resource == {"service.name": "ebpftop"}


def test_the_resource() -> None:
    found = read(RESOURCE_ATTRIBUTES="deployment.environment.name=prod,a=1%2C2%3D3,service.name=x").resource
    assert found == {"service.name": "x", "deployment.environment.name": "prod", "a": "1,2=3"}
    found = read(RESOURCE_ATTRIBUTES="service.name=x", SERVICE_NAME="y").resource
    assert found == {"service.name": "y"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        *[
            ("EXPORTER_OTLP_PROTOCOL", "grpc", "http/json only; unset"),
            ("EXPORTER_OTLP_LOGS_PROTOCOL", "x", "unset OTEL_EX"),
        ],
        *[("EXPORTER_OTLP_COMPRESSION", "zstd", "only gzip"), ("EXPORTER_OTLP_HEADERS", "a", "not KEY=VALUE")],
        *[
            ("EXPORTER_OTLP_HEADERS", "a=b,s3cret/s3cret==", "part 2 has no name that a header can have"),
            ("EXPORTER_OTLP_HEADERS", "=x", "KEY=VALUE"),
        ],
        *[
            ("EXPORTER_OTLP_HEADERS", "a=s3cret%0d%0aX: y", "characters"),
            ("EXPORTER_OTLP_HEADERS", "a=%ff", "not UTF-8"),
        ],
        *[
            ("EXPORTER_OTLP_HEADERS", "Content-Length=1", "sets itself"),
            ("EXPORTER_OTLP_HEADERS", "a=é", "characters"),
        ],
        *[("EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"), ("EXPORTER_OTLP_TIMEOUT", "0", "milliseconds")],
        *[("METRIC_EXPORT_INTERVAL", "-1", "milliseconds"), ("METRIC_EXPORT_INTERVAL", "9" * 5000, "milliseconds")],
        *[("RESOURCE_ATTRIBUTES", "a=b,c", "KEY=VALUE"), ("RESOURCE_ATTRIBUTES", "a=\udcff", "not UTF-8")],
        ("SERVICE_NAME", "a\udcff", "not UTF-8"),
        ("EXPORTER_OTLP_TIMEOUT", "0" * 11 + "1" + "9" * 400, "milliseconds"),
        *[
            ("METRICS_EXPORTER", "prometheus", "only otlp and none"),
            ("EXPORTER_OTLP_LOGS_ENDPOINT", "c", "LOGS_ENDPOINT"),
        ],
    ],
)
def test_a_variable_that_means_nothing_is_an_error_with_its_name(name: str, value: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        read(**{name: value})
    assert f"OTEL_{name}" in str(error.value)
    assert reason in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_signal_may_be_left_out_and_all_of_them() -> None:
    assert read(METRICS_EXPORTER="none").metrics is None
    assert read(LOGS_EXPORTER="none", METRICS_EXPORTER="otlp").logs is None
    assert is_disabled({"OTEL_SDK_DISABLED": "True"})
    assert not is_disabled({"OTEL_SDK_DISABLED": "1"})


def test_certificates_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    assert tls_context(Certificates("", "", "")).check_hostname
    with pytest.raises(SourceError, match="No such file or directory; see OTEL_EXPORTER_OTLP_CERTIFICATE"):
        tls_context(Certificates(str(tmp_path / "none"), "", ""))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(SourceError, match="cannot be read"):
        tls_context(Certificates(str(wrong), "", ""))


def test_a_key_with_a_password_is_an_error_and_asks_nobody(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:s3cret", "-days", "2"),
            *("-subj", "/CN=ebpftop", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SourceError, match="the key is encrypted"):
        tls_context(Certificates("", str(certificate), str(key)))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        *[("--events all", "add --otlp URL"), ("--args all", "add --otlp URL"), ("--otlp-queue 1MB", "add --otlp URL")],
        ("--otlp --events all --probes users", "add execs to --probes"),
        ("--otlp --events none --args all", "no events are sent"),
    ],
)
def test_options_that_do_not_go_together(words: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        chosen_options(parser("serve").parse(["serve", *words.split()]))


@pytest.mark.parametrize(
    ("words", "with_events"),
    [
        *[("", False), ("--otlp", True), ("--otlp http://c --events all", True), ("--otlp --events none", False)],
        *[("--otlp --probes users", False), ("--otlp --probes execs,users", True)],
    ],
)
def test_what_is_attached_for_it(words: str, with_events: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    options = chosen_options(parser("serve").parse(["serve", *words.split()]))
    assert options.exec_events == with_events
    assert not options.env_names
    with monkeypatch.context() as patch:
        patch.setenv("OTEL_LOGS_EXPORTER", "none")
        if "all" in words:
            with pytest.raises(UsageError, match="unset it"):
                chosen_options(parser("serve").parse(["serve", *words.split()]))
        else:
            assert not chosen_options(parser("serve").parse(["serve", *words.split()])).exec_events
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not chosen_options(parser("serve").parse(["serve", *words.split()])).exec_events


def test_disabled_by_its_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    args = parser("serve").parse(["serve", "--otlp"])
    with pytest.raises(UsageError, match="unset OTEL_SDK_DISABLED"):
        sending(args, "none")
    assert sending(parser("serve").parse(["serve", "--otlp", "--listen", "127.0.0.1:1"]), "none") is None
    assert "nothing is sent" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["1", "63kB", "1TB", "x", "9999999GiB"])
def test_a_queue_of_no_size(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser("serve").parse(["serve", "--otlp-queue", size])
    assert "is not a size of at least 64kB" in capsys.readouterr().err
