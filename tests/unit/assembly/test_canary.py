from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.assembly.canary import check, new_ones, question_of
from pointsman.providers.base import Deployment, Vendor
from pointsman.wire import operations as op

Entry = Callable[..., str]
MODELS = "model_list:\n"


def deployment(mode: str | None) -> Deployment:
    vendor = Vendor(name="openai")
    return Deployment(id="i", model_name="m", vendor=vendor, upstream_model="x", base_url="http://h", mode=mode)


@pytest.mark.parametrize(
    ("mode", "operation"),
    [
        (None, op.CHAT),
        ("chat", op.CHAT),
        ("responses", op.CHAT),
        ("embedding", op.EMBEDDINGS),
        ("image_generation", None),
    ],
)
def test_the_question_is_small_and_for_this_deployment_alone(mode: str | None, operation: Any) -> None:
    question = question_of(deployment(mode))
    assert (None if question is None else question[0]) == operation
    if question is not None:
        assert question[1]["model"] == "i"
        assert question[1]["num_retries"] == 0
        assert question[1]["disable_fallbacks"] is True


@pytest.mark.requirement("config.reload.canary")
async def test_only_new_deployments_are_asked_and_those_that_fail_are_named(rig: Any, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    fallback = "router_settings: {default_fallbacks: [fine]}\n"
    fine = entry("fine", mock_response="Hi")
    after = await rig.assembly.prepare(rig.snapshot(MODELS + entry("a") + entry("down") + fine + fallback))
    assert [one.model_name for one in new_ones(after, before)] == ["down", "fine"]
    problems, asked = await check(after, before, time.monotonic)
    assert asked == 2
    assert [problem.partition(" ")[0] for problem in problems] == ["down"]
    assert "502" in problems[0]
    await rig.assembly.discard(after)


async def test_a_wildcard_is_not_asked(rig: Any, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    after = await rig.assembly.prepare(
        rig.snapshot(MODELS + '  - {model_name: "*", litellm_params: {model: "demo/*"}}\n')
    )
    assert await check(after, before, time.monotonic) == ([], 0)
