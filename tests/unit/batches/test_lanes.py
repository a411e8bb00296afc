from __future__ import annotations

from typing import Any, cast

from queued import chat

from pointsman.batches.held import Line
from pointsman.batches.lanes import (
    A_SECOND,
    FEW,
    FIRST_PAUSE,
    LEAST,
    LONGEST_PAUSE,
    MANY,
    MAX_LANES,
    SHORTEST,
    SPREAD,
    Lane,
    Running,
    together,
)
from pointsman.batches.lines import MAX_LAPSES, SUSPECTED
from pointsman.batches.protocol.pace import FIRST, TWICE, Pace
from pointsman.store.work import Claimed, LineLease

UNUSED = cast("Any", None)


def batch(*, is_single: bool = False) -> Running:
    return Running(UNUSED, UNUSED, None, is_single=is_single, chance=lambda: 0.0)


def line(number: int = 1) -> Line:
    return Line(Claimed(LineLease("batch_1", number, 1), f"line-{number}", 0, 1, 0))


def lane() -> Lane:
    return Lane(Pace(lambda: 0.0))


def refuse(one: Lane, now: float, retry_after: float = 60.0) -> None:
    for _ in range(TWICE):
        one.pace.refused(now, now, retry_after=retry_after)


def test_each_model_has_a_lane_where_there_are_several() -> None:
    several = batch()
    assert several.lane_of(chat("a-1"), 0.0) is several.lane_of(chat("a-2"), 0.0)
    assert several.lane_of(chat("a-1"), 0.0) is not several.lane_of(chat("b-1"), 0.0)
    assert several.lane_of(b"{}", 0.0) is several.lane_of(b'{"model": 3}', 0.0)
    one = batch(is_single=True)
    assert one.lane_of(chat("a-1"), 0.0) is one.lane_of(chat("b-1"), 0.0)


def test_of_models_without_number_the_last_ones_share_a_lane_and_empty_ones_make_room() -> None:
    several = batch()
    for number in range(3 * MAX_LANES):
        several.lane_of(chat(f"m{number}-1"), 0.0)
    assert len(list(several.lanes)) <= MAX_LANES
    full = batch()
    for number in range(MAX_LANES):
        full.lane_of(chat(f"m{number}-1"), 0.0).running = 1
    assert full.lane_of(chat("x-1"), 0.0) is full.lane_of(chat("y-1"), 0.0)
    assert len(list(full.lanes)) <= MAX_LANES + 1


def test_lines_that_were_refused_come_back_when_their_time_has_come() -> None:
    one, refused = lane(), line()
    refused.not_before = 10.0
    one.waiting.append(refused)
    assert not one.may_begin(9.9)
    assert not one.is_empty
    assert one.may_begin(10.0)
    assert list(one.ready) == [refused]
    assert one.waiting == []


def test_where_there_are_many_models_those_that_rest_are_remembered() -> None:
    several = batch()
    resting = several.lane_of(chat("m-1"), 0.0)
    refuse(resting, 0.0)
    for number in range(3 * MAX_LANES):
        several.lane_of(chat(f"m{number}-1"), 1.0)
    assert several.lane_of(chat("m-1"), 1.0) is resting
    for number in range(3 * MAX_LANES):
        several.lane_of(chat(f"m{number}-1"), 1_000.0)
    assert several.lane_of(chat("m-1"), 1_000.0) is not resting


def test_of_one_line_only_the_first_refusal_tells_of_others_unless_nothing_else_goes_on() -> None:
    one, bad = lane(), line()
    assert one.is_news(bad, is_refusal=True)
    bad.refusals += 1
    one.answer()
    assert not one.is_news(bad, is_refusal=True)
    # Nothing was answered since.
    assert one.is_news(bad, is_refusal=True)
    refuse(one, 0.0)
    assert not one.is_news(bad, is_refusal=True)
    failing = line(2)
    assert one.is_news(failing, is_refusal=False)
    failing.tries += 1
    assert not one.is_news(failing, is_refusal=False)


def test_after_a_rest_lines_that_nobody_has_tried_go_first_and_of_the_others_one_now_and_then() -> None:
    one, bad = lane(), [line(number) for number in range(3)]
    for each in bad:
        one.wait(each, 0.0, 1.0)
    refuse(one, 0.0)
    fresh = line(9)
    one.ready.append(fresh)
    assert one.may_begin(61.0)
    assert list(one.ready) == [fresh]
    one.ready.clear()
    assert one.may_begin(62.0)
    assert list(one.ready) == [bad[0]]
    one.ready.clear()
    bad[0].refusals = 2
    one.wait(bad[0], 62.0, 30.0)
    assert not one.may_begin(91.0)
    assert one.may_begin(92.0)
    # All is well again.
    one.pace.succeeded(93.0, 64)
    assert one.may_begin(93.0)
    assert len(one.ready) == 3


def test_lines_for_which_there_is_no_place_come_back_after_the_rest_and_not_all_at_once() -> None:
    one = lane()
    assert one.passed(A_SECOND, 0.0) == SHORTEST + 1.0
    assert one.passed(A_SECOND, 0.0) == SHORTEST + 2.0
    refuse(one, 0.0, 60.0)
    assert one.passed(A_SECOND, 10.0) == 53.0
    assert one.passed(1_000_000, 10.0) < 50.0 + SPREAD
    one.answer()
    assert one.passed(A_SECOND, 10.0) == 51.0


def test_of_lines_that_are_suspected_few_are_run_together_and_those_for_the_last_time_alone() -> None:
    def suspect(number: int, lapses: int) -> Line:
        return Line(Claimed(LineLease("batch_1", number, 1), "a", 0, 1, lapses))

    many = [suspect(number, SUSPECTED) for number in range(FEW + 1)]
    last = [suspect(number, MAX_LAPSES - 1) for number in range(3)]
    assert together([*last, *many]) == many[:FEW]
    assert together(last) == last[:1]


def test_lines_that_do_not_run_can_be_taken_out() -> None:
    one, first, second = lane(), line(1), line(2)
    one.ready.append(first)
    one.waiting.append(second)
    assert one.emptied(lambda found: found is second) == [second]
    assert one.emptied(lambda _: True) == [first]
    assert one.is_empty


def test_models_take_turns_and_those_that_rest_have_none() -> None:
    several = batch()
    a, b = several.lane_of(chat("a-1"), 0.0), several.lane_of(chat("b-1"), 0.0)
    for number in range(4):
        a.ready.append(line(number))
        b.ready.append(line(number))
    assert [several.next(0.0) for _ in range(4)] == [a, b, a, b]
    refuse(a, 0.0)
    assert [several.next(1.0) for _ in range(2)] == [b, b]
    b.running = int(FIRST)
    assert several.next(1.0) is None
    assert several.running == FIRST


def test_of_a_model_that_rests_or_is_slow_few_lines_are_kept_beside_others() -> None:
    several = batch()
    one = several.lane_of(chat("a-1"), 0.0)
    one.ready.extend(line(number) for number in range(MANY - 1))
    assert several.has_place(one, 0.0)
    refuse(one, 0.0)
    assert not several.has_place(one, 1.0)
    assert not several.has_place(one, 100.0)
    one.ready.clear()
    assert several.has_place(one, 100.0)
    alone = batch(is_single=True)
    only = alone.lane_of(b"", 0.0)
    refuse(only, 0.0)
    assert alone.has_place(only, 1.0)


def test_a_batch_is_hungry_as_long_as_few_of_its_lines_can_be_begun() -> None:
    several = batch()
    assert several.is_hungry(0.0)
    a = several.lane_of(chat("a-1"), 0.0)
    a.ready.extend(line(number) for number in range(100))
    assert not several.is_hungry(0.0)
    # Whatever rests does not count.
    refuse(a, 0.0)
    assert several.is_hungry(1.0)
    b = several.lane_of(chat("b-1"), 0.0)
    b.ready.extend(line(number) for number in range(max(LEAST, int(FIRST)) + 1))
    assert not several.is_hungry(1.0)
    several.is_stopped = True
    b.ready.clear()
    assert not several.is_hungry(1.0)


def test_one_whose_only_model_rests_is_not() -> None:
    one = batch(is_single=True)
    assert one.is_hungry(0.0)
    only = one.lane_of(b"", 0.0)
    assert one.is_hungry(0.0)
    only.ready.extend(line(number) for number in range(int(FIRST) + 1))
    assert not one.is_hungry(0.0)
    only.ready.clear()
    refuse(only, 0.0)
    assert not one.is_hungry(1.0)
    assert one.is_hungry(60.0)


def test_where_claims_give_nothing_that_can_be_begun_there_are_pauses() -> None:
    several, now = batch(), 0.0
    for seconds in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE):
        several.claimed(now, has_any=False)
        assert not several.is_hungry(now + seconds - 0.01)
        now += seconds
        assert several.is_hungry(now)
    several.claimed(now, has_any=True)
    assert several.is_hungry(now)


def test_a_batch_is_here_while_its_lines_are_read() -> None:
    empty, read, run = batch(), batch(), batch()
    read.reading = 1
    run.lane_of(b"", 0.0).running = 1
    assert [one.is_here for one in (empty, read, run)] == [False, True, True]
