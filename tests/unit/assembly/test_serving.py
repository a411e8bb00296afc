from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from pointsman.assembly.serving import Assembled, Assembly
from pointsman.edge.context import Serving
from pointsman.pipeline.cache import AnswerCache
from pointsman.pipeline.shared_answers import SharedAnswers

Entry = Callable[..., str]
MODELS = "model_list:\n"


class Rig(Protocol):
    assembly: Assembly
    put: list[Serving]
    lasting: Any
    redactor: Any
    metrics: Any

    def begin(self, text: str) -> Assembly: ...
    def snapshot(self, text: str) -> Any: ...
    async def change(self, text: str) -> Serving: ...
    async def settle(self) -> None: ...


def ids(assembled: Assembled) -> dict[str, str]:
    return {one.model_name: one.id for one in assembled.snapshot.deployments}


@pytest.mark.requirement("config.swap.carried")
async def test_deployments_that_stay_the_same_keep_what_they_do_and_what_is_known_of_them(
    rig: Rig, entry: Entry
) -> None:
    before = rig.begin(MODELS + entry("a") + entry("b")).current
    names = ids(before)
    before.groups.members[names["a"]].enter(0.0)
    await rig.change(MODELS + entry("c") + entry("b", upstream="y") + entry("a"))
    after = rig.assembly.current
    assert after.groups.members[names["a"]] is before.groups.members[names["a"]]
    assert after.targets[names["a"]] is before.targets[names["a"]]
    assert after.groups.members[names["a"]].in_flight == 1
    assert names["b"] not in after.targets
    assert ids(after).keys() == {"a", "b", "c"}
    assert after.serving.pipeline is not before.serving.pipeline
    assert rig.put == [after.serving]


@pytest.mark.requirement("config.swap.carried")
async def test_a_request_goes_on_with_the_groups_that_it_began_with(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    await rig.change(MODELS + entry("b"))
    assert [group.name for group in before.groups] == ["a"]
    assert [group.name for group in rig.assembly.current.groups] == ["b"]
    assert rig.assembly.retiring == 1
    del before
    await rig.settle()
    assert rig.assembly.retiring == 0


async def test_what_only_settings_change_takes_effect_with_the_swap_and_not_before(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    member = next(iter(before.groups.members.values()))
    text = MODELS + entry("a") + "router_settings: {default_max_parallel_requests: 2, cooldown_time: 77}\n"
    after = await rig.assembly.prepare(rig.snapshot(text))
    assert member.is_plain
    assert member.health.rules.rest == 5.0
    await rig.assembly.swap(after, rig.put.append)
    assert rig.assembly.current.groups.members[member.deployment.id] is member
    assert (member.limit, member.is_limited, member.health.rules.rest) == (2, True, 77.0)


async def test_targets_are_made_anew_where_more_than_deployments_count(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    await rig.change(MODELS + entry("a") + "litellm_settings: {request_timeout: 7}\n")
    one = ids(before)["a"]
    after = rig.assembly.current
    assert after.targets[one] is not before.targets[one]
    assert after.targets[one].upstream is before.targets[one].upstream
    assert after.reach is before.reach


@pytest.mark.requirement("config.swap.pools")
async def test_other_ways_to_upstreams_take_the_place_of_those_before(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    await rig.change(MODELS + entry("a") + "litellm_settings: {ssl_verify: false}\n")
    after = rig.assembly.current
    assert after.reach is not before.reach
    assert after.targets[ids(after)["a"]].upstream is not before.targets[ids(before)["a"]].upstream
    assert rig.assembly.pool_counts.open == 0
    del before
    await rig.settle()


@pytest.mark.requirement("config.swap.secrets")
async def test_secrets_are_known_before_they_are_used_and_until_nobody_uses_them(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("old")).current
    assert rig.redactor.redact("sk_x canary-old") == "sk_x canary-old"
    after = await rig.assembly.prepare(rig.snapshot(MODELS + entry("new", api_key="canary-new-1234")))
    assert rig.redactor.redact("canary-new-1234") == "***"
    await rig.assembly.swap(after, rig.put.append)
    await rig.change(MODELS + entry("newer", api_key="canary-newer-1234"))
    assert rig.redactor.redact("canary-new-1234 canary-newer-1234") == "*** ***"
    del before, after
    rig.put.clear()
    await rig.settle()
    async with asyncio.timeout(5):
        while rig.redactor.redact("canary-new-1234") == "***":
            await asyncio.sleep(0.01)
    assert rig.redactor.redact("canary-newer-1234") == "***"


@pytest.mark.requirement("config.swap.series")
async def test_series_of_deployments_that_are_gone_are_dropped(rig: Rig, entry: Entry) -> None:
    rig.begin(MODELS + entry("a"))
    for number in range(300):
        one = next(iter(rig.assembly.current.targets.values()))
        rig.metrics.bind_deployment(one.deployment.model_name, "x", one.deployment.id, "openai", "/v1")
        await rig.change(MODELS + entry(f"m{number}"))
    assert len(tuple(rig.metrics.deployment_meters())) <= 201


async def test_limits_of_the_process_are_those_of_the_snapshot(rig: Rig, entry: Entry) -> None:
    rig.begin(MODELS + entry("a"))
    more = "general_settings: {max_in_flight_requests_per_worker: 3, admission_queue_timeout_seconds: 2}\n"
    await rig.change(MODELS + entry("a") + more)
    assert rig.lasting.admission.max_in_flight == 3
    assert rig.lasting.gates.patience == 2.0


@pytest.mark.requirement("config.status.header")
async def test_replies_tell_their_config_where_that_is_asked_for(rig: Rig, entry: Entry) -> None:
    rig.begin(MODELS + entry("a"))
    assert b"config" not in rig.assembly.current.serving.version_line
    serving = await rig.change(MODELS + entry("a") + "pointsman_settings: {config_header: true}\n")
    shown = rig.assembly.current.snapshot.hash[:12].encode()
    assert b"x-pointsman-config: 2-" + shown + b"\r\n" in serving.version_line


@pytest.mark.parametrize(("size", "is_same"), [("ttl: 5", True), ("namespace: n", True)])
async def test_answers_stay_in_the_cache(rig: Rig, entry: Entry, size: str, *, is_same: bool) -> None:
    cached = MODELS + entry("a") + "litellm_settings: {cache: true, cache_params: {%s}}\n"
    before = rig.begin(cached % "ttl: 9").current
    await rig.change(cached % size)
    assert (rig.assembly.current.kept is before.kept) == is_same
    await rig.change(MODELS + entry("a"))
    assert rig.assembly.current.kept is None


@pytest.mark.requirement("cache.redis")
@pytest.mark.parametrize(
    ("params", "is_same"), [("ttl: 5", True), ("namespace: n", False), ("port: 7", False), ("type: local", False)]
)
async def test_answers_are_shared_in_the_same_redis_as_long_as_it_stays(
    rig: Rig, entry: Entry, params: str, *, is_same: bool
) -> None:
    cached = MODELS + entry("a") + "litellm_settings: {cache: true, cache_params: {type: redis, host: h, %s}}\n"
    before = rig.begin(cached % "ttl: 9").current
    assert isinstance(before.kept, SharedAnswers)
    await rig.change(cached.replace("type: redis, ", "" if "type" in params else "type: redis, ") % params)
    after = rig.assembly.current.kept
    assert (after is before.kept) == is_same
    assert isinstance(after, AnswerCache if "type" in params else SharedAnswers)
    assert rig.assembly.load_counts.cache_bytes == 0
    assert len(rig.lasting.watchers) == 0


async def test_a_group_of_other_deployments_has_another_generation(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a") + entry("b")).current
    await rig.change(MODELS + entry("a") + entry("b", upstream="y"))
    old = {group.name: group.generation for group in before.groups}
    new = {group.name: group.generation for group in rig.assembly.current.groups}
    assert new["a"] == old["a"]
    assert new["b"] != old["b"]


async def test_what_is_not_put_in_force_leaves_nothing_behind(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    for more in ("", "litellm_settings: {ssl_verify: false}\n"):
        after = await rig.assembly.prepare(rig.snapshot(MODELS + entry("b", base="http://127.0.0.2:1/v1") + more))
        await rig.assembly.discard(after)
        del after
    await rig.settle()
    assert rig.assembly.current is before
    assert rig.assembly.retiring == 0
    assert [host.name for host in before.reach._pool.hosts()] == ["127.0.0.1:1"]


async def test_what_cannot_be_built_leaves_no_hosts(rig: Rig, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    reach = rig.begin(MODELS + entry("a")).current.reach

    def fail(*_: object) -> None:
        assert len(reach._pool._hosts) == 2
        raise ValueError("no checkpoint")

    monkeypatch.setattr(rig.assembly, "_pipeline", fail)
    with pytest.raises(ValueError, match="no checkpoint"):
        await rig.assembly.prepare(rig.snapshot(MODELS + entry("a") + entry("b", base="http://127.0.0.2:1/v1")))
    assert [host.name for host in reach._pool._hosts.values()] == ["127.0.0.1:1"]


async def test_hosts_that_nobody_names_any_more_are_given_up(rig: Rig, entry: Entry) -> None:
    reach = rig.begin(MODELS + entry("a") + entry("b", base="http://127.0.0.2:1/v1")).current.reach
    await rig.change(MODELS + entry("a"))
    await rig.settle()
    assert [host.name for host in reach._pool.hosts()] == ["127.0.0.1:1"]


async def test_tokens_are_carried_over_as_long_as_they_are_read_in_the_same_way(rig: Rig, entry: Entry) -> None:
    general = "general_settings: {{master_key: sk-1, enable_jwt_auth: {}, litellm_jwtauth: {{public_key_url: {}}}}}\n"
    one = general.format("true", "http://127.0.0.1:1/a")
    first = rig.begin(MODELS + entry("a") + one).current.serving.tokens
    assert first is not None
    assert (await rig.change(MODELS + entry("b") + one)).tokens is first
    other = (await rig.change(MODELS + entry("b") + general.format("true", "http://127.0.0.1:1/b"))).tokens
    assert other is not None
    assert other is not first
    assert (await rig.change(MODELS + entry("b") + general.format("false", "http://127.0.0.1:1/b"))).tokens is None


async def test_what_ends_when_the_process_does_needs_no_tidying_up(rig: Rig, entry: Entry) -> None:
    before = rig.begin(MODELS + entry("a")).current
    await rig.change(MODELS + entry("a") + "litellm_settings: {ssl_verify: false}\n")
    assert before.reach is not rig.assembly.current.reach
    await rig.assembly.close()
    await rig.lasting.watchers.close(1)
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    del before
    await rig.settle()
    assert rig.assembly.retiring == 0
    assert problems == []
