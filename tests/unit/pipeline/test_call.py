from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.pipeline.call import upstream_model
from pointsman.telemetry.meters import CLIENT_LEFT

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("configured", "captured", "sent"),
    [
        ("gpt-4o", None, "gpt-4o"),
        ("*", "gpt-4o", "gpt-4o"),
        ("team/*-latest", "a/b", "team/a/b-latest"),
        ("gpt-4o", "anything", "gpt-4o"),
        ("*", "a*b", "a*b"),
    ],
)
def test_the_upstreams_name_takes_what_the_pattern_matched(
    make_rig: Make, deployment: Make, configured: str, captured: str | None, sent: str
) -> None:
    rig = make_rig(deployment("any/*", configured))
    call = rig.call()
    call.captured = captured
    assert upstream_model(call, rig.target) == sent


def test_a_call_counts_as_left_until_it_has_an_answer(rig: Any) -> None:
    call = rig.call()
    assert (call.status, call.failure, call.usage) == (CLIENT_LEFT, None, None)
