"""Boots the kernels asked for, two at a time, and keeps what each said for the tests."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from . import guest, report
from .kernels import KERNELS, KernelTree, cache_folder, fetch
from .results import Result, load

# Beside each other on two cores; more only wait for each other.
AT_ONCE = 2
BOOT_TIMEOUT_S = 900.0
# What the exec log makes of awkward programs. Storms stay outside, under emulation they take minutes; so does what
# measures time or needs a stream of its own.
GUEST_TESTS = (
    "tests/kernel/test_execs.py",
    "-k",
    "ring and not thousand and not sleeps and not burst and not lifetimes and not sixty",
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one kernel: the result of the matrix (None: it wrote none), pytest's status and words."""

    tree: KernelTree
    matrix: Result | None
    tests_status: int | None
    tests_log: str
    finished: guest.Finished


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kernel", action="append", default=[], choices=tuple(KERNELS), help="only this kernel; may be repeated"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", _asked_for(metafunc.config))


def _asked_for(config: pytest.Config) -> list[str]:
    return list(dict.fromkeys(config.getoption("--kernel"))) or list(KERNELS)


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Ran]]]:
    """Every kernel asked for, running or waiting for its turn. All of them together write docs/kernels.md."""
    names = _asked_for(request.config)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {name: pool.submit(_run, name) for name in names}
        yield futures
    results = [run.matrix for run in (future.result() for future in futures.values()) if run.matrix]
    if len(results) == len(KERNELS):
        report.write(guest.CHECKOUT / "docs/kernels.md", results)


@pytest.fixture
def ran(kernel: str, runs: Mapping[str, Future[Ran]]) -> Ran:
    """What became of *kernel*, as soon as it is known."""
    return runs[kernel].result()


def _run(name: str) -> Ran:
    tree = fetch(KERNELS[name])
    out = cache_folder().parent / "runs" / name
    out.mkdir(parents=True, exist_ok=True)
    result, status, log = out / "matrix.json", out / "tests.status", out / "tests.log"
    for old in (result, status, log):
        old.unlink(missing_ok=True)
    python = shlex.quote(sys.executable)
    tests = shlex.join(("-m", "pytest", "-p", "no:cacheprovider", "--timeout=300", "-q", *GUEST_TESTS))
    finished = guest.run(
        tree,
        # Side by side: each spends much of its time waiting.
        f"({python} {tests} >{shlex.quote(str(log))} 2>&1; echo $? >{shlex.quote(str(status))}) & "
        f"PYTHONPATH=tests {python} -m vm.matrix {shlex.quote(str(result))}; matrix=$?; wait; exit $matrix",
        out,
        timeout_s=BOOT_TIMEOUT_S,
    )
    (out / "console").write_text(finished.console)
    return Ran(
        tree=tree,
        matrix=load(result) if result.exists() else None,
        tests_status=int(status.read_text()) if status.exists() else None,
        tests_log=log.read_text() if log.exists() else "",
        finished=finished,
    )
