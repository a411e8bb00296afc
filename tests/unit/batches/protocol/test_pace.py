from __future__ import annotations

import pytest

from pointsman.batches.protocol.pace import (
    AWAY,
    BUSY,
    FIRST,
    LONGEST,
    MOST,
    PROBE_SECONDS,
    SHORT,
    SHORTEST,
    SPREAD,
    TWICE,
    Pace,
    room,
    waits,
)


def paced() -> Pace:
    return Pace(lambda: 0.0)


def refuse(
    pace: Pace, now: float, times: int = TWICE, *, is_ours: bool = False, retry_after: float | None = None
) -> None:
    for _ in range(times):
        pace.refused(now, now, is_ours=is_ours, retry_after=retry_after)


def test_without_clients_there_is_room_for_as_many_lines_as_may_be_and_when_the_loop_is_late_for_none() -> None:
    assert room(64, before=3, lag=0.0, busy=1.0, has_clients=False) == 64
    assert room(64, before=3, lag=0.2, busy=0.0, has_clients=False) == 0
    assert room(64, before=3, lag=0.2, busy=0.0, has_clients=True) == 0


def test_beside_clients_the_room_follows_the_share_of_the_processor_that_is_left() -> None:
    assert room(64, before=40, lag=0.0, busy=BUSY + 0.1, has_clients=True) == 30
    assert room(64, before=1, lag=0.0, busy=BUSY + 0.1, has_clients=True) == 1
    assert room(64, before=40, lag=0.0, busy=BUSY - 0.1, has_clients=True) == 41
    assert room(64, before=64, lag=0.0, busy=BUSY - 0.1, has_clients=True) == 64
    assert room(8, before=64, lag=0.0, busy=BUSY + 0.1, has_clients=True) == 6


def test_it_begins_with_few_lines_and_has_one_more_with_each_that_is_answered() -> None:
    pace = paced()
    assert pace.may_begin(int(FIRST) - 1, 0.0)
    assert not pace.may_begin(int(FIRST), 0.0)
    for _ in range(100):
        pace.succeeded(0.0, 32)
    assert pace.window == 32


def test_after_refusals_it_rests_and_goes_on_with_half() -> None:
    pace = paced()
    refuse(pace, 10.0)
    assert pace.window == FIRST / 2
    assert not pace.may_begin(0, 10.0 + SHORT - 0.01)
    assert pace.may_begin(0, 10.0 + SHORT)


@pytest.mark.requirement("batches.yields")
def test_what_others_need_too_is_probed_seldom_and_by_little() -> None:
    pace = paced()
    for _ in range(24):
        pace.succeeded(0.0, 64)
    refuse(pace, 10.0)
    assert pace.window == 16
    for second in range(11, 20):
        for _ in range(100):
            pace.succeeded(float(second), 64)
    assert pace.window == 16
    for _ in range(100):
        pace.succeeded(10.0 + PROBE_SECONDS, 64)
    assert pace.window == 17


@pytest.mark.requirement("batches.yields")
def test_beside_clients_a_quarter_of_what_is_borne_is_left_to_them() -> None:
    pace = paced()
    for _ in range(24):
        pace.succeeded(0.0, 64)
    refuse(pace, 10.0)
    for second in range(11, 400):
        pace.succeeded(float(second), 64)
    assert pace.may_begin(24, 400.0)
    assert pace.may_begin(23, 400.0, has_clients=True)
    assert not pace.may_begin(24, 400.0, has_clients=True)


@pytest.mark.requirement("batches.yields")
def test_beside_clients_it_is_found_out_slowly_how_much_is_borne() -> None:
    pace = paced()
    for _ in range(int(FIRST)):
        pace.succeeded(0.0, 64, has_clients=True)
    assert FIRST <= pace.window <= FIRST + 1


def test_what_this_gateway_alone_refuses_is_found_out_again_as_soon_as_lines_are_answered() -> None:
    pace = paced()
    refuse(pace, 10.0, is_ours=True)
    for _ in range(int(FIRST / 2)):
        pace.succeeded(10.5, 64)
    assert pace.window == FIRST / 2
    pace.succeeded(10.5, 64)
    assert pace.window == FIRST / 2 + 1


def test_after_a_rest_all_is_well_when_a_line_was_answered() -> None:
    pace = paced()
    found = [pace.is_well]
    refuse(pace, 10.0)
    found.append(pace.is_well)
    pace.succeeded(20.0, 64)
    assert [*found, pace.is_well] == [True, False, True]


def test_one_refusal_among_answers_is_the_matter_of_one_line() -> None:
    pace = paced()
    for _ in range(100):
        refuse(pace, 10.0, TWICE - 1, retry_after=60.0)
        pace.succeeded(20.0, 64)
    assert pace.rests_until == 0.0
    assert pace.window == 64


def test_of_lines_that_ran_at_the_same_time_only_the_first_refusals_count() -> None:
    pace = paced()
    refuse(pace, 10.0)
    for _ in range(10):
        pace.refused(10.5, 9.5)
        pace.failed(10.5, 9.5)
    assert (pace.window, pace.rests_until) == (FIRST / 2, 10.0 + SHORT)


def test_rests_after_each_other_become_longer_up_to_a_bound_and_an_answer_ends_that() -> None:
    pace, rests = paced(), []
    for _ in range(10):
        now = pace.rests_until + 1.0
        refuse(pace, now)
        rests.append(pace.rests_until - now)
    assert rests[:4] == [SHORT, 2 * SHORT, 4 * SHORT, 8 * SHORT]
    assert rests[-1] == LONGEST
    assert pace.window == 1
    pace.succeeded(20.0, 8)
    now = pace.rests_until + 1.0
    refuse(pace, now)
    assert pace.rests_until - now == SHORT


def test_a_refusal_of_this_gateway_is_soon_over_and_one_that_says_for_how_long_is_heeded_up_to_a_bound() -> None:
    ours, told, endless = paced(), Pace(lambda: 1.0), paced()
    refuse(ours, 0.0, is_ours=True)
    assert ours.rests_until == SHORTEST
    refuse(told, 0.0, retry_after=20.0)
    assert told.rests_until == 20.0 * (1 + SPREAD)
    refuse(endless, 0.0, retry_after=1e9)
    assert endless.rests_until == MOST


def test_a_failure_now_and_then_is_an_accident_and_several_after_each_other_are_not() -> None:
    pace = paced()
    for _ in range(10):
        for _ in range(AWAY - 1):
            pace.failed(1.0, 1.0)
        pace.succeeded(20.0, 8)
    assert pace.rests_until == 0.0
    for _ in range(AWAY):
        pace.failed(1.0, 1.0)
    assert pace.rests_until > 1.0


def test_a_line_that_is_refused_waits_longer_each_time() -> None:
    found = [waits(times, is_ours=False, retry_after=None, chance=0.0) for times in (1, 2, 3, 99)]
    assert found == [SHORT, 2 * SHORT, 4 * SHORT, LONGEST]
    assert waits(1, is_ours=True, retry_after=None, chance=0.0) == SHORTEST
    assert waits(1, is_ours=False, retry_after=1e9, chance=0.0) == MOST
