from __future__ import annotations

from collections.abc import Callable

import pytest
from unit.pipeline.mcp_use.making import offers

from pointsman.mcp.settings import UseLimits
from pointsman.pipeline.mcp_use.limits import NOT_CALLED, TOO_MUCH, Allowance
from pointsman.pipeline.mcp_use.offers import Done, Wanted


def wanted(count: int) -> list[Wanted]:
    one = offers().of("depot__echo")
    assert one is not None
    return [Wanted(id=f"call_{number}", offer=one, arguments="{}") for number in range(count)]


def allowance(clock: Callable[[], float] = lambda: 0.0, deadline: float = 600.0, **limits: float) -> Allowance:
    return Allowance(UseLimits(**limits), deadline, clock)  # type: ignore[arg-type]


def test_the_last_round_is_the_one_after_which_there_is_none() -> None:
    left = allowance(rounds=3)
    assert [left.begin() for _ in range(3)] == [False, False, True]


def test_a_round_is_the_last_one_when_no_call_is_left() -> None:
    left = allowance(calls=2)
    assert not left.begin()
    left.share(wanted(2), is_last=False)
    assert left.begin()


def test_calls_beyond_the_limit_are_answered_without_being_made() -> None:
    left = allowance(calls=2)
    made, refused = left.share(wanted(3), is_last=False)
    assert [one.id for one in made] == ["call_0", "call_1"]
    assert [(one.wanted.id, one.text, one.is_error) for one in refused] == [("call_2", NOT_CALLED, True)]


def test_in_the_last_round_none_is_made() -> None:
    left = allowance()
    made, refused = left.share(wanted(2), is_last=True)
    assert (made, len(refused), left.calls) == ([], 2, 0)


@pytest.mark.parametrize(("deadline", "seconds"), [(600.0, 120.0), (50.0, 50.0)])
def test_the_time_is_that_of_the_limit_or_of_the_request_whichever_is_shorter(deadline: float, seconds: float) -> None:
    assert allowance(deadline=deadline).seconds == seconds


def test_when_the_time_is_over_the_next_round_is_the_last_one() -> None:
    now = [0.0]
    left = allowance(lambda: now[0])
    assert not left.begin()
    now[0] = 130.0
    assert left.begin()
    assert left.seconds == 0.0


def test_answers_are_cut_one_by_one_and_all_together() -> None:
    left = allowance(result_bytes=40, total_bytes=100)
    texts = [one.text for one in left.cut([Done(wanted=one, text="x" * 50) for one in wanted(3)])]
    assert texts[0] == "x" * 40 + "\n[cut here: 10 more bytes]"
    assert texts[1].startswith("x" * 34 + "\n[cut")
    assert texts[2] == TOO_MUCH
    assert left.begin()
