from __future__ import annotations

import pytest

from pointsman.routing.latency import PeakEwma, Quantile


def test_nothing_is_expected_before_anything_was_seen() -> None:
    average = PeakEwma()
    assert (average.value, average.expected(100.0)) == (0.0, 0.0)


def test_bad_news_is_believed_at_once_and_good_news_slowly() -> None:
    average = PeakEwma()
    average.observe(1.0, 100.0)
    average.observe(5.0, 100.1)
    assert average.value == 5.0
    average.observe(1.0, 101.1)
    assert 4.0 < average.value < 5.0
    average.observe(1.0, 200.0)
    assert average.value == pytest.approx(1.0, abs=0.01)


def test_an_observation_that_comes_late_counts_as_one_of_now() -> None:
    average = PeakEwma()
    average.observe(5.0, 100.0)
    average.observe(1.0, 99.0)
    assert average.value == 5.0


def test_whoever_was_slow_once_is_expected_to_be_quick_again_some_time() -> None:
    average = PeakEwma()
    average.observe(60.0, 100.0)
    assert average.expected(100.0) == 60.0
    assert average.expected(110.0) > 40.0
    assert average.expected(400.0) < 0.01


def test_a_quantile_is_unknown_before_twenty_observations() -> None:
    quantile = Quantile()
    for _ in range(19):
        quantile.observe(1.0)
    assert quantile.value is None
    quantile.observe(1.0)
    assert quantile.value == 1.0


def test_the_quantile_of_a_hundred_is_the_one_with_so_many_below() -> None:
    quantile = Quantile(0.95)
    for i in range(100):
        quantile.observe(float((i * 37) % 100))
    assert quantile.value == 95.0


def test_a_quantile_is_looked_up_anew_every_sixteen_observations() -> None:
    quantile = Quantile(0.99)
    for _ in range(20):
        quantile.observe(0.0)
    found = [quantile.value]
    for i in range(1, 33):
        quantile.observe(float(i))
        found.append(quantile.value)
    assert found == [0.0] * 16 + [16.0] * 16 + [32.0]


def test_a_quantile_knows_the_last_256_only() -> None:
    def least(further: int) -> float | None:
        quantile = Quantile(0.0)
        for seconds in [1.0] * 256 + [2.0] * further:
            quantile.observe(seconds)
        return quantile.value

    assert [least(further) for further in (0, 255, 256, 512)] == [1.0, 1.0, 2.0, 2.0]
