from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest

from pointsman.errors import UpstreamBroken
from pointsman.pipeline.headers import MAX_KNOWN_NAMES, PassedNames, attempt_headers, header_lines, passed_headers
from pointsman.pipeline.race import Race
from pointsman.routing.plan import Wish
from pointsman.upstream.response import Headers, Response
from pointsman.wire.usage import Usage

Make = Callable[..., Any]


def attempt_of(rig: Any, sent: float, answered: float | None, **call: Any) -> Any:
    attempt = rig.attempt(rig.call(**call))
    attempt.sent, attempt.answered = sent, answered
    return attempt


def lines_of(rig: Any, headers: Headers, *, is_master: bool = True, cost: str | None = None) -> list[str]:
    attempt = attempt_of(rig, 100.010, 101.010, is_master=is_master)
    attempt.cost = None if cost is None else Decimal(cost)
    text = header_lines(attempt, Response(200, headers, rig.upstream), 101.0125).decode()
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def test_a_reply_says_who_served_it_and_how_long_we_took(rig: Any) -> None:
    assert lines_of(rig, []) == [
        "x-request-id: r1",
        "x-litellm-model-id: house-id",
        "x-litellm-model-group: house",
        "x-litellm-model-api-base: http://up.test/v1",
        "x-litellm-attempted-retries: 0",
        "x-litellm-max-retries: 0",
        "x-litellm-attempted-fallbacks: 0",
        "x-litellm-overhead-duration-ms: 12.500",
    ]


def test_only_the_master_learns_the_upstreams_address(rig: Any) -> None:
    assert "up.test" not in "".join(lines_of(rig, [], is_master=False))


@pytest.mark.parametrize(
    ("cost", "said"), [("0.020000000000", "0.02"), ("1E-7", "0.0000001"), ("0E-12", "0"), ("120", "120")]
)
def test_the_cost_is_said_in_plain_digits(rig: Any, cost: str, said: str) -> None:
    assert f"x-litellm-response-cost: {said}" in lines_of(rig, [], cost=cost)


def test_rate_limits_and_names_of_the_request_pass_and_everything_else_stays(rig: Any) -> None:
    given: Headers = [
        (b"x-ratelimit-remaining-tokens", b"9"),
        (b"x-request-id", b"up-7"),
        (b"request-id", b"up-8"),
        (b"openai-processing-ms", b"5"),
        (b"openai-version", b"2020"),
        (b"openai-organization", b"our-org"),
        (b"set-cookie", b"a=b"),
        (b"server", b"cloud"),
        (b"content-length", b"3"),
    ]
    passed = [line for line in lines_of(rig, given) if line.startswith("llm_provider-")]
    assert passed == [
        "llm_provider-x-ratelimit-remaining-tokens: 9",
        "llm_provider-x-request-id: up-7",
        "llm_provider-request-id: up-8",
        "llm_provider-openai-processing-ms: 5",
        "llm_provider-openai-version: 2020",
    ]
    assert len(lines_of(rig, given)) == len(lines_of(rig, [])) + len(passed)


def test_an_upstream_that_makes_up_names_does_not_fill_the_memory() -> None:
    names = PassedNames()
    for number in range(2 * MAX_KNOWN_NAMES):
        assert names[b"x-ratelimit-%d" % number] == b"llm_provider-x-ratelimit-%d: " % number
        assert names[b"x-%d" % number] == b""
    assert len(names) == MAX_KNOWN_NAMES


def test_before_the_answer_is_whole_all_time_since_sending_is_the_upstreams(rig: Any) -> None:
    attempt = attempt_of(rig, 100.5, None)
    header_lines(attempt, Response(200, [], rig.upstream), 109.0)
    assert attempt.overhead == pytest.approx(0.5)


def test_our_own_time_is_never_negative(rig: Any) -> None:
    text = header_lines(attempt_of(rig, 90.0, 105.0), Response(200, [], rig.upstream), 105.0)
    assert b"x-litellm-overhead-duration-ms: 0.000\r\n" in text


def test_an_error_says_how_many_attempts_it_took_as_a_reply_does(rig: Any) -> None:
    attempt = rig.attempt(wish=Wish(num_retries=4))
    attempt.plan.retries, attempt.plan.fallbacks = 3, 1
    said = [
        ("x-litellm-attempted-retries", "3"),
        ("x-litellm-max-retries", "4"),
        ("x-litellm-attempted-fallbacks", "1"),
    ]
    assert list(attempt_headers(attempt.plan)) == said
    text = header_lines(attempt, Response(200, [], rig.upstream), 101.0).decode()
    assert "".join(f"{name}: {value}\r\n" for name, value in said) in text


class Idle:
    """A task that does nothing."""

    def cancel(self) -> None: ...


def win(winner: Any, loser: Any) -> None:
    winner.race = loser.race = race = Race()
    for attempt in (loser, winner):
        race.add(attempt, cast("asyncio.Task[None]", Idle()))
    race.win(winner)


@pytest.mark.parametrize("expected", [Usage(input_tokens=7, output_tokens=0, total_tokens=7), None])
def test_an_attempt_that_was_outrun_is_named_with_what_it_has_cost_at_least(rig: Any, expected: Usage | None) -> None:
    attempt, slower = rig.attempt(), rig.attempt()
    win(attempt, slower)
    if expected is not None:
        slower.expect(expected)
    text = header_lines(attempt, Response(200, [], rig.upstream), 101.0)
    assert b"x-pointsman-hedged-model-id: house-id\r\n" in text
    assert (b"x-pointsman-hedged-cost: 0.007\r\n" in text) is (expected is not None)
    assert (b"x-pointsman-hedged-cost" in text) is (expected is not None)


def test_an_attempt_that_had_failed_by_then_was_not_outrun(rig: Any) -> None:
    attempt, failed = rig.attempt(), rig.attempt()
    win(attempt, failed)
    failed.error = UpstreamBroken()
    assert b"hedged" not in header_lines(attempt, Response(200, [], rig.upstream), 101.0)


def test_an_errors_headers_name_the_upstreams_limits_only(rig: Any) -> None:
    given: Headers = [(b"x-ratelimit-limit-requests", b"5"), (b"set-cookie", b"a=b"), (b"retry-after", b"1")]
    assert passed_headers(Response(429, given, rig.upstream)) == (("llm_provider-x-ratelimit-limit-requests", "5"),)
