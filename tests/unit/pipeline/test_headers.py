from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from pointsman.pipeline.headers import header_lines
from pointsman.upstream.response import Headers, Response

Make = Callable[..., Any]


def lines_of(rig: Any, headers: Headers, *, is_master: bool = True, cost: str | None = None) -> list[str]:
    call = rig.call(is_master=is_master)
    call.public_model = "house"
    call.sent, call.answered = 100.010, 101.010
    call.cost = None if cost is None else Decimal(cost)
    text = header_lines(call, rig.target, Response(200, headers, rig.upstream), 101.0125).decode()
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def test_a_reply_says_who_served_it_and_how_long_we_took(rig: Any) -> None:
    assert lines_of(rig, []) == [
        "x-request-id: r1",
        "x-litellm-model-id: house-id",
        "x-litellm-model-group: house",
        "x-litellm-model-api-base: http://up.test/v1",
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


def test_before_the_answer_is_whole_all_time_since_sending_is_the_upstreams(rig: Any) -> None:
    call = rig.call()
    call.sent = 100.5
    header_lines(call, rig.target, Response(200, [], rig.upstream), 109.0)
    assert call.overhead == pytest.approx(0.5)


def test_our_own_time_is_never_negative(rig: Any) -> None:
    call = rig.call()
    call.sent, call.answered = 90.0, 105.0
    text = header_lines(call, rig.target, Response(200, [], rig.upstream), 105.0)
    assert b"x-litellm-overhead-duration-ms: 0.000\r\n" in text
