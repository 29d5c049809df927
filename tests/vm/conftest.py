"""Boots the kernels asked for, two at a time, and keeps what each said for the tests."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import arm64, guest, report
from .kernels import KERNELS, KernelTree, cache_folder, fetch
from .results import Result, load

# Beside each other on two cores; more only wait for each other.
AT_ONCE = 2
BOOT_TIMEOUT_S = 900.0
# Marked: what depends on the kernel more than on us. What is heavy takes minutes under emulation.
GUEST_TESTS = ("tests/kernel", "-m", "guest and not heavy")


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
        *("--kernel",),
        action="append",
        default=[],
        choices=(*KERNELS, arm64.KERNEL.name),
        help="only this kernel; may be repeated",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", _asked_for(metafunc.config))
    if "tested_kernel" in metafunc.fixturenames:
        metafunc.parametrize("tested_kernel", [name for name in _asked_for(metafunc.config) if name in KERNELS])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what no kernel was asked for: pytest would count it as skipped."""
    items[:] = [item for item in items if "NOTSET" not in item.name]


def _asked_for(config: pytest.Config) -> list[str]:
    return list(dict.fromkeys(config.getoption("--kernel"))) or list(KERNELS)


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Future[Ran]]]:
    """Every kernel asked for, running or waiting for its turn. All of them together write docs/kernels.md."""
    names = _asked_for(request.config)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {name: pool.submit(_run, name) for name in names}
        yield futures
    results = {name: run.matrix for name, run in ((n, f.result()) for n, f in futures.items()) if run.matrix}
    if results.keys() >= KERNELS.keys():
        report.write(guest.CHECKOUT / "docs/kernels.md", [results[name] for name in KERNELS])
    if arm64.KERNEL.name in results:
        report.write(guest.CHECKOUT / "docs/kernels-arm64.md", [results[arm64.KERNEL.name]])


@pytest.fixture
def ran(kernel: str, runs: Mapping[str, Future[Ran]]) -> Ran:
    """What became of *kernel*, as soon as it is known."""
    return runs[kernel].result()


@pytest.fixture
def tested(tested_kernel: str, runs: Mapping[str, Future[Ran]]) -> Ran:
    """The same, of a kernel that can run pytest: one for this machine's own programs."""
    return runs[tested_kernel].result()


def _run(name: str) -> Ran:
    out = cache_folder().parent / "runs" / name
    out.mkdir(parents=True, exist_ok=True)
    result, status, log = out / "matrix.json", out / "tests.status", out / "tests.log"
    for old in (result, status, log):
        old.unlink(missing_ok=True)
    if name == arm64.KERNEL.name:
        tree = arm64.fetch()
        finished = arm64.run_matrix(tree, result, timeout_s=BOOT_TIMEOUT_S)
    else:
        tree = fetch(KERNELS[name])
        finished = _run_own(tree, out, result, status, log)
    (out / "console").write_text(finished.console)
    return Ran(
        tree=tree,
        matrix=load(result) if result.exists() and result.stat().st_size else None,
        tests_status=int(status.read_text()) if status.exists() else None,
        tests_log=log.read_text() if log.exists() else "",
        finished=finished,
    )


def _run_own(tree: KernelTree, out: Path, result: Path, status: Path, log: Path) -> guest.Finished:
    python = shlex.quote(sys.executable)
    tests = shlex.join(("-m", "pytest", "-p", "no:cacheprovider", "--timeout=300", "-q", *GUEST_TESTS))
    return guest.run(
        tree,
        # Side by side: each has one compiler at work, and there are two processors.
        f"({python} {tests} >{shlex.quote(str(log))} 2>&1; echo $? >{shlex.quote(str(status))}) & "
        f"PYTHONPATH=tests {python} -m vm.matrix {shlex.quote(str(result))}; matrix=$?; wait; exit $matrix",
        out,
        timeout_s=BOOT_TIMEOUT_S,
    )
