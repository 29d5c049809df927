"""Bounds of factors: what they find, and that chance alone finds nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpftop.models.chance import Counted, Timed, deviations, distance, mean_factor, quantile_factor, rate_factor

Z = deviations(1000)


def evenly(count: float, seconds: int) -> Counted:
    return Counted([count / seconds] * seconds, [1.0] * seconds)


def test_one_against_three_in_a_minute_means_nothing() -> None:
    assert rate_factor(evenly(1, 60), evenly(3, 60), Z) == 0


def test_a_factor_is_surer_the_more_often_it_was_seen() -> None:
    factors = [rate_factor(evenly(n, 60), evenly(4 * n, 60), Z) for n in (1, 10, 100, 10_000)]
    assert factors == sorted(factors)
    assert factors[0] < 1 < factors[2]
    assert factors[-1] == pytest.approx(4, rel=0.15)


def test_spans_of_different_lengths_are_compared_by_rate() -> None:
    assert rate_factor(evenly(100, 10), evenly(1000, 100), Z) < 1
    assert rate_factor(evenly(100, 100), evenly(1000, 10), Z) > 30


def test_what_comes_in_one_burst_is_less_sure_than_what_comes_all_the_time() -> None:
    burst = Counted([0] * 30 + [120] + [0] * 29, [1.0] * 60)
    assert rate_factor(evenly(0, 60), evenly(120, 60), Z) > 10
    assert rate_factor(evenly(0, 60), burst, Z) == 0


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # other programs may take the time
@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 50), st.integers(1, 50))
def test_a_bound_never_says_more_than_the_figures(a: float, b: float, a_s: int, b_s: int) -> None:
    low, high = sorted((evenly(a, a_s), evenly(b, b_s)), key=lambda one: one.rate)
    factor = rate_factor(low, high, Z)
    assert 0 <= factor < math.inf
    # Of nothing, as much as three eighths of an event may have been missed.
    assert factor <= max(1.0, (high.count + 0.375) / (low.count + 0.375) * low.known_s / high.known_s) * (1 + 1e-9)


def calls(*histogram: int, slices: int = 20) -> Timed:
    """Return calls that take as long in each slice; the mean of a bucket is at its middle."""
    total = sum(count * 2 ** (bucket + 0.5) for bucket, count in enumerate(histogram))
    return Timed([total] * slices, [sum(histogram)] * slices, [histogram] * slices)


def test_calls_that_became_four_times_slower_are_found() -> None:
    factor = quantile_factor(calls(0, 0, 100, 800, 100), calls(0, 0, 0, 0, 100, 800, 100), 0.5, Z)
    assert 3 < factor <= 4


def test_calls_that_stepped_over_the_edge_of_a_bucket_are_not() -> None:
    # All took 63 ns, and take 65.
    before = Timed([63_000] * 20, [1000] * 20, [(0, 0, 0, 0, 0, 1000, 0)] * 20)
    after = Timed([65_000] * 20, [1000] * 20, [(0, 0, 0, 0, 0, 0, 1000)] * 20)
    assert quantile_factor(before, after, 0.5, Z) < 1.2


def test_a_quantile_needs_calls_beyond_it() -> None:
    before, after = calls(0, 0, 3, slices=3), calls(0, 0, 2, 0, 0, 0, 0, 1, slices=3)
    assert quantile_factor(before, after, 0.99, Z) == 0


def test_a_mean_that_one_call_made_is_not_sure() -> None:
    before = Timed([1000.0] * 20, [10.0] * 20)
    once = Timed([1000.0] * 19 + [1_000_000.0], [10.0] * 20)
    always = Timed([50_000.0] * 20, [10.0] * 20)
    assert mean_factor(before, once, Z) < 1.2
    assert mean_factor(before, always, Z) == pytest.approx(50)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=64), st.lists(st.integers(0, 1000), max_size=64))
def test_the_distance_of_histograms_is_one(a: list[int], b: list[int]) -> None:
    assert distance(a, a) == 0
    assert distance(a, b) == pytest.approx(distance(b, a))
    assert 0 <= distance(a, b) <= 64


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 1000), st.integers(0, 20))
def test_the_distance_is_in_doublings(count: int, octaves: int) -> None:
    assert distance([count], [0] * octaves + [7]) == pytest.approx(octaves)
