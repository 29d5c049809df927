"""A monkey at recordings: the demo, and records as no kernel makes them. `tests/kernel/test_monkey_live.py`: live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hostile_records import write_hostile
from tests.monkey import run

SECONDS = 14.0
AT_ONCE = 3
"""A monkey pauses most of its time."""


def at_demo(seed: int, _: Path) -> str:
    return run(["demo"], seed, SECONDS)


def at_hostile(seed: int, folder: Path) -> str:
    recording = write_hostile(folder / f"hostile-{seed}.jsonl", seed, 3000)
    return run(["replay", str(recording)], seed, SECONDS)


@pytest.fixture(scope="module")
def monkeys(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[str]]]:
    """What each test of this file waits for, by its name."""
    folder = tmp_path_factory.mktemp("monkeys")
    started: dict[str, Future[str]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            if isinstance(item, pytest.Function) and item.path == request.path:
                seed = item.callspec.params["seed"]
                assert isinstance(seed, int)
                started[item.name] = pool.submit(at_demo if "demo" in item.name else at_hostile, seed, folder)
        yield started


@pytest.mark.parametrize("seed", range(3))
def test_no_key_mouse_or_size_breaks_the_demo(
    seed: int, monkeys: Mapping[str, Future[str]], request: pytest.FixtureRequest
) -> None:
    monkeys[request.node.name].result()


@pytest.mark.parametrize("seed", range(10, 14))
def test_no_record_breaks_the_screen_whatever_is_pressed(
    seed: int, monkeys: Mapping[str, Future[str]], request: pytest.FixtureRequest
) -> None:
    monkeys[request.node.name].result()
