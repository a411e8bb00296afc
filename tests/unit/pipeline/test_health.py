from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from unit.pipeline.routing import routed_rig

from pointsman.errors import ModelNotFound, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.pipeline.health import AT_ONCE, PROBE_TIMEOUTS, HealthCheck
from pointsman.upstream.response import Response

Make = Callable[..., Any]


async def check(rig: Any, model: str | None = None) -> dict[str, Any]:
    return await HealthCheck(rig.groups, rig.targets).run(model)


async def test_an_upstream_that_lists_its_models_is_healthy(rig: Any) -> None:
    rig.upstream.script(b'{"data":[]}')
    assert await check(rig) == {
        "healthy_endpoints": [
            {
                "model": "openai/up-1",
                "model_name": "house",
                "model_id": "house-id",
                "api_base": "http://up.test/v1",
            }
        ],
        "unhealthy_endpoints": [],
        "healthy_count": 1,
        "unhealthy_count": 0,
    }
    assert rig.sent.head.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert rig.sent.timeouts == PROBE_TIMEOUTS


async def test_a_routed_model_is_as_healthy_as_its_candidates(groups: Make) -> None:
    rig = routed_rig(groups, candidates=("house", "second"))
    found = await HealthCheck(rig.groups, rig.targets, rig.pipeline.routed).run("auto:cheap")
    names = [entry["model_name"] for entry in found["healthy_endpoints"] + found["unhealthy_endpoints"]]
    assert sorted(names) == ["house", "second"]


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (200, None),
        (404, None),
        (405, None),
        (429, None),
        (401, "The provider refused the credential (status 401)"),
        (403, "The provider refused the credential (status 403)"),
        (500, "The provider answered with status 500"),
        (503, "The provider answered with status 503"),
    ],
)
async def test_the_status_says_whether_the_credential_and_the_upstream_are_good(
    rig: Any, status: int, problem: str | None
) -> None:
    rig.upstream.script(b"{}", status=status)
    found = await check(rig)
    assert (found["healthy_count"], found["unhealthy_count"]) == ((1, 0) if problem is None else (0, 1))
    assert [entry["error"] for entry in found["unhealthy_endpoints"]] == [problem][: found["unhealthy_count"]]


@pytest.mark.parametrize("error", [UpstreamTimeout(), UpstreamUnreachable(operator_detail="10.0.0.1 refused")])
async def test_an_upstream_that_does_not_answer_is_unhealthy_in_the_callers_words(rig: Any, error: Exception) -> None:
    rig.upstream.error = error
    (entry,) = (await check(rig))["unhealthy_endpoints"]
    assert entry["error"] == str(error)


async def test_an_answer_that_breaks_off_is_unhealthy_and_given_up(rig: Any) -> None:
    rig.upstream.script(b"{", then=UpstreamBroken("cut"))
    assert (await check(rig))["unhealthy_endpoints"][0]["error"] == "cut"
    rig.upstream.script(b"x" * (5 << 20), is_whole=False)
    assert (await check(rig))["unhealthy_count"] == 1
    assert rig.upstream.calls[-1] == "abort"


@pytest.mark.parametrize(("model", "asked"), [(None, {"a", "b", "c"}), ("house", {"a", "b"}), ("b", {"b"})])
async def test_only_the_deployments_of_the_named_model_are_asked(
    make_rig: Make, deployment: Make, model: str | None, asked: set[str]
) -> None:
    rig = make_rig(deployment(id="a"), deployment(id="b"), deployment("other", id="c"))
    found = await check(rig, model)
    assert {name for name, upstream in rig.upstreams.items() if upstream.sent} == asked
    assert {entry["model_id"] for entry in found["healthy_endpoints"]} == asked


async def test_a_model_that_nobody_serves_is_not_found(rig: Any) -> None:
    with pytest.raises(ModelNotFound):
        await check(rig, "nobody")


async def test_no_more_than_a_few_are_asked_at_once(make_rig: Make, deployment: Make) -> None:
    rig = make_rig(*(deployment(id=f"d{i}") for i in range(3 * AT_ONCE)))
    open_now: set[str] = set()
    most = 0
    for name, upstream in rig.upstreams.items():
        original = upstream.send

        async def send(*args: Any, name: str = name, original: Any = original, **more: Any) -> Response:
            nonlocal most
            open_now.add(name)
            most = max(most, len(open_now))
            # The answer ends a turn later, so that whoever may start has started.
            await asyncio.sleep(0)
            open_now.discard(name)
            response: Response = await original(*args, **more)
            return response

        upstream.send = send
    assert (await check(rig))["healthy_count"] == 3 * AT_ONCE
    assert most == AT_ONCE


async def test_no_credential_is_told(rig: Any) -> None:
    rig.upstream.script(b"{}", status=401)
    assert "canary" not in str(await check(rig))
