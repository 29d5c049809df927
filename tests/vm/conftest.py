"""Boots the kernels asked for, two at a time, and keeps what each said for the tests."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from tests.kernel.forked_start import ASKED_FOR
from tests.kernel.support import CHECKED

from . import arm64, guest, report
from .kernels import KERNELS, KernelTree, cache_folder, fetch
from .results import Checked, CheckReport, Result, load

# Beside each other on two cores; more only wait for each other.
AT_ONCE = 2
# How long one guest may take, and all together: what takes longer, CI ends, and then nobody hears what was slow.
SHARED_LIMITS_S = (1900.0, 3300.0)
WHOLE_LIMITS_S = (4000.0, 14000.0)
# A kernel is fetched once for its two guests.
_FETCHING = threading.Lock()
GUEST_TESTS = (
    # The matrix sends events through both buffers on every kernel.
    *("-k", "not perf"),
    # Plugins that they do not use, and that import half of Textual.
    *("-p", "no:textual-snapshot", "-p", "no:syrupy", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"),
    # As script/test does in CI.
    *("--reruns=1", "--max-suite-reruns=3", "--rerun-show-tracebacks"),
)
MATRIX = f"PYTHONPATH=tests:$PYTHONPATH {shlex.quote(sys.executable)} -m vm.matrix"
# Marked: what depends on the kernel more than on us. What is heavy takes minutes under emulation.
MARKED = "guest and not heavy"
# Who runs what where the kernels share the tests (--shared); else each runs all of them.
OLDEST, *BETWEEN, NEWEST = KERNELS
SHARES = {
    OLDEST: f"{MARKED} and not newest",
    **dict.fromkeys(BETWEEN, f"{MARKED} and everywhere"),
    NEWEST: f"{MARKED} and not oldest",
}
# There, those that are also tried with their headers alone: on the newest kernel these are of no use to released BCC.
HEADERS_ALONE = (OLDEST, BETWEEN[-1])


@dataclass(frozen=True, slots=True)
class Ran:
    """What the matrix found on one kernel (None: it wrote nothing), and how its guest ended.

    `headers_alone`: it was to try headers without BTF too.
    """

    tree: KernelTree
    matrix: Result | None
    finished: guest.Finished
    headers_alone: bool


@dataclass(frozen=True, slots=True)
class InnerTests:
    """How the kernel tests ended on one kernel, and what they said; what `ebpftop check` said before them."""

    finished: guest.Finished
    log: str
    check: Checked | None


Futures: TypeAlias = tuple[Mapping[str, Future[Ran]], Mapping[str, Future[InnerTests]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        *("--kernel",),
        action="append",
        default=[],
        choices=(*KERNELS, arm64.KERNEL.name),
        help="only this kernel; may be repeated",
    )
    parser.addoption("--shared", action="store_true", help="let the kernels share the tests, as CI does")


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
def pool() -> Iterator[ThreadPoolExecutor]:
    """Runs guests, in the order in which they are asked for."""
    with ThreadPoolExecutor(AT_ONCE) as executor:
        yield executor


@pytest.fixture(scope="session")
def futures(request: pytest.FixtureRequest, pool: ThreadPoolExecutor) -> Iterator[Futures]:
    """Every kernel asked for, in two guests: the matrix and the tests. All matrices, whole, write docs/kernels.md."""
    shared: bool = request.config.getoption("--shared")
    matrices: dict[str, Future[Ran]] = {}
    tests: dict[str, Future[InnerTests]] = {}
    _compile_tests()
    for name in _asked_for(request.config):
        _folder(name, guest.PROGRAMS).chmod(0o700)
        _folder(name, guest.OUTSIDE)
    # Two guests: whatever one does cannot disturb the other, and a single kernel keeps both processors busy. Of several
    # kernels all matrices come first: the tests find their programs kept, and the shorter guests end together.
    for name in _asked_for(request.config):
        matrices[name] = pool.submit(_run_matrix, name, shared=shared)
    # The longest first: none of them is left to run alone at the end.
    for name in sorted(filter(KERNELS.__contains__, matrices), key=BETWEEN.__contains__):
        tests[name] = pool.submit(_run_tests, name, shared=shared)
    yield matrices, tests
    results = {name: future.result().matrix for name, future in matrices.items()}
    checks = {name: future.result().check for name, future in tests.items()}
    told = [(result, check) for name in KERNELS if (result := results.get(name)) and (check := checks.get(name))]
    if len(told) == len(KERNELS) and not shared:
        report.write(guest.CHECKOUT / "docs/kernels.md", [r for r, _ in told], [_said(check) for _, check in told])
    if (result := results.get(arm64.KERNEL.name)) and result.check:
        report.write(guest.CHECKOUT / "docs/kernels-arm64.md", [result], [_said(result.check)])


def _said(check: Checked) -> CheckReport:
    return msgspec.json.decode(check.said, type=CheckReport)


@pytest.fixture
def ran(kernel: str, futures: Futures) -> Ran:
    """What the matrix found on *kernel*, as soon as it is known."""
    return futures[0][kernel].result()


@pytest.fixture
def tested(tested_kernel: str, futures: Futures) -> InnerTests:
    """How the tests ended on *tested_kernel*: one that runs this machine's own programs."""
    return futures[1][tested_kernel].result()


@pytest.fixture
def check(kernel: str, futures: Futures) -> Checked | None:
    """What `ebpftop check --json` said on *kernel*."""
    matrices, tests = futures
    if kernel in tests:
        return tests[kernel].result().check
    matrix = matrices[kernel].result().matrix
    return matrix.check if matrix else None


_BEGAN_S = time.monotonic()


def _left_s(*, shared: bool) -> float:
    """Return how long a guest that starts now may take."""
    one_s, all_s = SHARED_LIMITS_S if shared else WHOLE_LIMITS_S
    return max(1.0, min(one_s, _BEGAN_S + all_s - time.monotonic()))


def _fetched(name: str) -> KernelTree:
    with _FETCHING:
        return arm64.fetch() if name == arm64.KERNEL.name else fetch(KERNELS[name])


def _folder(name: str, what: str) -> Path:
    """An empty folder for what a guest writes."""
    folder = cache_folder().parent / "runs" / name / what
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _files(marked: str) -> list[str]:
    """Return the files that have tests *marked* so: importing the others takes seconds there."""
    mark = "mark.everywhere" if "everywhere" in marked else "mark.guest"
    return [str(file) for file in sorted(guest.CHECKOUT.glob("tests/kernel/test_*.py")) if mark in file.read_text()]


def _compile_tests() -> None:
    """Have Python and pytest keep the tests' byte code in the checkout: each guest would need two minutes for it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    pytest_collects = ("pytest", "--collect-only", "-q", *GUEST_TESTS, *_files(MARKED))
    for module in (("compileall", "-q", "tests/kernel", "tests/vm"), pytest_collects):
        # Whatever is wrong with a test, the guests report it.
        command = (sys.executable, "-m", *module)
        subprocess.run(command, cwd=guest.CHECKOUT, env=environment, capture_output=True, check=False)


def _run_matrix(name: str, *, shared: bool) -> Ran:
    headers_alone = not shared or name in HEADERS_ALONE
    tree, out = _fetched(name), _folder(name, "matrix")
    result = out / "matrix.json"
    if name == arm64.KERNEL.name:
        finished = arm64.run_matrix(tree, result, timeout_s=_left_s(shared=shared))
    else:
        command = f"{MATRIX} {shlex.quote(str(result))} --no-check{'' if headers_alone else ' --no-headers-alone'}"
        finished = guest.run(tree, command, out, timeout_s=_left_s(shared=shared))
    (out / "console").write_text(finished.console)
    matrix = load(result) if result.exists() and result.stat().st_size else None
    return Ran(tree, matrix, finished, headers_alone)


def _run_tests(name: str, *, shared: bool) -> InnerTests:
    marked = SHARES[name] if shared else MARKED
    tree, out = _fetched(name), _folder(name, "tests")
    log = out / "tests.log"
    tests = (
        sys.executable,
        "-m",
        "pytest",
        "--timeout=300",
        "-v",
        "--durations=40",
        "-m",
        marked,
        *GUEST_TESTS,
        *_files(marked),
    )
    # `check` is run here because the matrix takes longer than the tests.
    check = out / "check.json"
    checking = (
        f"PYTHONPATH=tests:$PYTHONPATH {shlex.quote(sys.executable)} -m vm.matrix --check {shlex.quote(str(check))}"
    )
    variables = f"{ASKED_FOR}=1 {CHECKED}={shlex.quote(str(check))}"
    command = f"{checking}; {variables} {shlex.join(tests)} >{shlex.quote(str(log))} 2>&1"
    finished = guest.run(tree, command, out, timeout_s=_left_s(shared=shared))
    return InnerTests(
        finished,
        log.read_text() if log.exists() else finished.console,
        msgspec.json.decode(check.read_bytes(), type=Checked) if check.exists() else None,
    )
