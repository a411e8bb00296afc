from __future__ import annotations

from pointsman.routing.hedging import SHORTEST_DELAY, Hedges
from pointsman.routing.settings import Hedging


def seen(hedges: Hedges, seconds: float, times: int = 20, *, is_stream: bool = False, operation: str = "chat") -> None:
    for _ in range(times):
        hedges.observe(operation, seconds, is_stream=is_stream)


def test_a_fixed_delay_is_taken_as_it_is() -> None:
    assert Hedges(Hedging(delay=0.3)).delay("chat", is_stream=False, now=100.0) == 0.3


def test_without_one_nothing_is_hedged_until_twenty_answers_were_seen() -> None:
    hedges = Hedges(Hedging())
    seen(hedges, 2.0, 19)
    assert hedges.delay("chat", is_stream=False, now=100.0) is None
    seen(hedges, 2.0, 1)
    assert hedges.delay("chat", is_stream=False, now=100.0) == 2.0


def test_the_delay_is_the_95th_percentile() -> None:
    hedges = Hedges(Hedging())
    for i in range(100):
        hedges.observe("chat", i / 10, is_stream=False)
    assert hedges.delay("chat", is_stream=False, now=100.0) == 9.5


def test_streams_and_operations_have_delays_of_their_own() -> None:
    hedges = Hedges(Hedging())
    seen(hedges, 5.0)
    seen(hedges, 0.4, is_stream=True)
    assert hedges.delay("chat", is_stream=False, now=100.0) == 5.0
    assert hedges.delay("chat", is_stream=True, now=100.0) == 0.4
    assert hedges.delay("embeddings", is_stream=False, now=100.0) is None


def test_a_delay_is_never_shorter_than_a_millisecond() -> None:
    hedges = Hedges(Hedging())
    seen(hedges, 0.0)
    assert hedges.delay("chat", is_stream=False, now=100.0) == SHORTEST_DELAY


def test_hedges_are_at_most_their_share_of_the_requests() -> None:
    hedges = Hedges(Hedging(delay=0.1, share=0.05))
    sent = 0
    for i in range(2000):
        now = 100.0 + i / 100
        hedges.delay("chat", is_stream=False, now=now)
        sent += hedges.take(now)
    assert 90 <= sent <= 105


def test_one_hedge_in_ten_seconds_is_allowed_however_few_the_requests() -> None:
    hedges = Hedges(Hedging(delay=0.1, share=0.05))
    assert [hedges.take(now) for now in (100.0, 101.0, 111.0)] == [True, False, True]
