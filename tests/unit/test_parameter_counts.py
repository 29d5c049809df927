"""Textual learns the parameters of a callback from its code, inspected once, and the number is what inspect says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from inspect import signature
from typing import Any

import pytest
from textual import reactive

from ebpftop.ui.textual_fixes import parameter_counts

inspected = parameter_counts._inspected


class Holder:
    def method(self, one: int, two: int = 2) -> None:
        """Two parameters."""

    @staticmethod
    def static(one: int) -> None:
        """One parameter."""


def wrapped() -> Callable[..., Any]:
    def original(one: int, two: int, three: int) -> None:
        """Three parameters."""

    @wraps(original)
    def outer(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)

    return outer


def callbacks() -> Iterator[Callable[..., Any]]:
    holder = Holder()
    yield from (holder.method, holder.static, wrapped(), Holder)
    yield from (lambda: None, lambda one: one, lambda *some: some, lambda one, *, two=2: (one, two))
    yield from (partial(holder.method, 1), partial(lambda one, two: (one, two), 1))


@pytest.mark.parametrize("number", range(len(list(callbacks()))))
def test_the_number_is_what_inspect_says(number: int) -> None:
    mine, theirs = list(callbacks())[number], list(callbacks())[number]
    assert parameter_counts.count_parameters(mine) == len(signature(mine).parameters)
    reactive.count_parameters(theirs)  # type: ignore[attr-defined]  # it notes the number on the function: less one, if the function is a method's
    assert parameter_counts.count_parameters(mine) == len(signature(mine).parameters)


def test_the_same_code_is_inspected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Callable[..., Any]] = []

    def ask(function: Callable[..., Any]) -> int:
        asked.append(function)
        return inspected(function)

    monkeypatch.setattr(parameter_counts, "_inspected", ask)

    def closure(held: int) -> Callable[[int], int]:
        return lambda one: one + held

    for held in range(5):
        assert parameter_counts.count_parameters(closure(held)) == 1
        assert parameter_counts.count_parameters(partial(closure(held), 1)) == 0
    assert len(asked) == 1


def test_the_screen_counts_with_it() -> None:
    # In a process of its own: importing the app takes Textual's settings out of the environment.
    code = "import ebpftop.ui.app; from textual import _callback; print(_callback.count_parameters.__module__)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == parameter_counts.__name__
