from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from unit.a2a.rig import Rig, caller, message, task

from pointsman.a2a.protocol.faults import INVALID_PARAMS, PUSH_NOT_SUPPORTED, TASK_NOT_FOUND, refusal
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.push import notifications
from pointsman.a2a.push.deliveries import Deliveries
from pointsman.a2a.push.hooks import Holder
from pointsman.a2a.push.notifications import PATH, Notifications
from pointsman.a2a.push.watching import Watching
from pointsman.a2a.push.webhooks import Webhooks
from pointsman.a2a.settings import A2aSettings
from pointsman.access.caller import Caller
from pointsman.access.grants import NO_GRANTS, Grants, Layer, Reach
from pointsman.access.keys import Key
from pointsman.errors import (
    Forbidden,
    GatewayError,
    InvalidRequest,
    Overloaded,
    ResourceNotFound,
    Unauthenticated,
    UpstreamUnreachable,
)
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.guard import Guard
from pointsman.upstream.resolving import Address
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.secret import Secret

PUBLIC = "https://gate.example"
CONFIG: dict[str, Any] = {
    "taskId": "t1",
    "id": "p",
    "url": "https://hook.example/x",
    "token": "tell",
    "authentication": {"scheme": "Bearer", "credentials": "canary"},
}
LEGACY = {
    "taskId": "t1",
    "pushNotificationConfig": {"id": "p", "url": "https://hook.example/x", "token": "tell"},
}
STATUS = {"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}}


class Names:
    async def addresses(self, host: str, port: int) -> list[Address]:
        del host, port
        return []


class World:
    """A gateway with one agent, and whoever is told something."""

    def __init__(self, tasks: Tasks, **settings: Any) -> None:
        self.rig = Rig(**settings)
        self.tasks = tasks
        self.told: list[tuple[str, dict[str, str], Any]] = []
        self.sealer: Sealer | None = Sealer(Secret("salt"))
        self.holders: list[Holder] = []
        self.failure: GatewayError | None = None
        self.grants = NO_GRANTS
        self.routes: tuple[str, ...] = ()
        self.made = Notifications(
            self.rig.ledger,
            self.rig.cards,
            Deliveries(lambda: self, tasks, now=lambda: 0.0, chance=lambda: 0.0),
            Watching(lambda: self.rig.gateway, tasks, sleep=self._sleep),
            lambda: Webhooks(Guard(), Names()),
            self._sealer,
            agents=lambda: self.rig.registry.entries,
            caller=self._caller,
            now=lambda: self.rig.now,
        )
        self.rig.gateway._push = self.made
        self.made.configure(A2aSettings(public_url=PUBLIC + "/"))
        self.rig.agent.answers[Operation.SET_PUSH] = lambda params: params
        self.rig.agent.answers[Operation.DELETE_PUSH] = {}

    async def _caller(self, holder: Holder) -> Caller:
        self.holders.append(holder)
        if self.failure is not None:
            raise self.failure
        return replace(caller(holder.name), grants=self.grants, key=Key(allowed_routes=self.routes))

    async def _sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)

    async def _sealer(self) -> Sealer:
        if self.sealer is None:
            raise CannotUnseal("the library is missing")
        return self.sealer

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.told.append((url, dict(headers), json.loads(body)))
        return 200

    def given(self, operation: Operation = Operation.SET_PUSH) -> dict[str, Any]:
        """What the agent was asked last."""
        return [params for asked, _, params in self.rig.agent.asked if asked is operation][-1]

    async def tell(self, token: str, value: Any) -> list[tuple[str, dict[str, str], Any]]:
        """What webhooks are told when the agent tells something at an address of the gateway."""
        await self.made.receive(
            await self.made.behind(token), value if isinstance(value, bytes) else json.dumps(value).encode()
        )
        return await self.heard()

    async def heard(self) -> list[tuple[str, dict[str, str], Any]]:
        """What webhooks were told meanwhile."""
        while len(self.tasks):
            await asyncio.sleep(0)
        told, self.told = self.told, []
        return told


def token_of(url: str) -> str:
    assert url.startswith(PUBLIC + PATH)
    return url.removeprefix(PUBLIC + PATH)


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks(logging.getLogger("test"), 10)
    yield made
    await made.close(1.0)


@pytest.fixture
async def relaying(tasks: Tasks) -> World:
    made = World(tasks, push="relay")
    await made.rig.begin("t1")
    return made


@pytest.fixture
async def passing(tasks: Tasks) -> World:
    made = World(tasks)
    await made.rig.begin("t1")
    return made


@pytest.mark.requirement("a2a.webhooks")
@pytest.mark.parametrize("mode", ["pass", "relay"])
async def test_no_webhook_goes_to_an_agent_that_may_not_be_called(tasks: Tasks, mode: str) -> None:
    world = World(tasks, push=mode)
    await world.rig.begin("t1")
    bad = {"url": "https://169.254.169.254/"}
    for operation, params in (
        (Operation.SET_PUSH, {"taskId": "t1", **bad}),
        (Operation.SET_PUSH, {"taskId": "t1"}),
        (Operation.SEND, message() | {"configuration": {"taskPushNotificationConfig": bad}}),
        (Operation.SEND, message() | {"configuration": {"task_push_notification_config": bad}}),
        (Operation.SEND, message() | {"configuration": {"taskPushNotificationConfig": {}}}),
    ):
        before = len(world.rig.agent.asked)
        with pytest.raises(RpcError) as caught:
            await world.rig.ask(operation, params)
        assert caught.value.code == INVALID_PARAMS.code
        assert len(world.rig.agent.asked) == before


async def test_with_pass_the_agent_gets_the_configuration_as_it_is(passing: World) -> None:
    assert await passing.rig.ask(Operation.SET_PUSH, CONFIG) == CONFIG
    assert passing.given() == CONFIG
    asked = message() | {"configuration": {"taskPushNotificationConfig": CONFIG}}
    await passing.rig.ask(Operation.SEND, asked)
    assert passing.given(Operation.SEND) == asked
    assert await passing.rig.ledger.push("a", "t1") == {}


@pytest.mark.requirement("a2a.push-relay")
async def test_with_relay_the_agent_never_sees_the_webhook(relaying: World) -> None:
    assert await relaying.rig.ask(Operation.SET_PUSH, CONFIG) == CONFIG
    given = relaying.given()
    assert given.keys() == {"taskId", "id", "url"}
    text = json.dumps(relaying.rig.agent.asked, default=str)
    assert not any(word in text for word in ("hook.example", "canary", "tell"))
    assert "canary" not in str(await relaying.rig.ledger.push("a", "t1"))
    (told,) = await relaying.tell(token_of(given["url"]), STATUS)
    url, headers, body = told
    assert (url, body) == ("https://hook.example/x", STATUS)
    assert headers["authorization"] == "Bearer canary"
    assert headers["x-a2a-notification-token"] == "tell"
    assert headers["content-type"] == "application/a2a+json"
    row = await relaying.rig.ledger.find("a", "t1")
    assert row is not None
    assert row.state == "completed", "the ledger hears it too"


@pytest.mark.requirement("a2a.push-relay")
@pytest.mark.parametrize("speaks", ["1.0", "0.3"])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_each_client_is_told_in_its_own_version(tasks: Tasks, speaks: Version, version: Version) -> None:
    world = World(tasks)
    world.rig.agent.speaks = (speaks,)
    legacy = {"kind": "task", "id": "t1", "contextId": "c1", "status": {"state": "completed"}}
    world.rig.agent.answers[Operation.SEND] = legacy if speaks == "0.3" else {"task": task()}
    await world.rig.ask(Operation.SEND, message())
    config = CONFIG if version == "1.0" else LEGACY
    answer = await world.rig.ask(Operation.SET_PUSH, config, version=version)
    assert answer == config
    given = world.given()
    if speaks == version:
        assert given == config, "nobody has to translate"
        return
    url = given["url"] if speaks == "1.0" else given["pushNotificationConfig"]["url"]
    ((_, headers, body),) = await world.tell(token_of(url), legacy if speaks == "0.3" else STATUS)
    if version == "1.0":
        assert body == {"task": {"id": "t1", "contextId": "c1", "status": {"state": "TASK_STATE_COMPLETED"}}}
    else:
        assert body == legacy
        assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("host", [b"", b"169.254.169.254", b"localhost:4000", b"gate.example"])
async def test_without_an_address_of_its_own_the_gateway_passes_on_and_cannot_relay(tasks: Tasks, host: bytes) -> None:
    world = World(tasks)
    await world.rig.begin("t1")
    world.made.configure(A2aSettings())
    world.rig.agent.speaks = ("0.3",)
    await world.rig.ask(Operation.SET_PUSH, CONFIG, headers={b"host": host})
    assert world.given()["pushNotificationConfig"]["url"] == CONFIG["url"]
    other = World(tasks, push="relay")
    await other.rig.begin("t1")
    other.made.configure(A2aSettings())
    with pytest.raises(RpcError) as caught:
        await other.rig.ask(Operation.SET_PUSH, CONFIG, headers={b"host": host})
    assert caught.value.code == PUSH_NOT_SUPPORTED.code


async def test_an_address_that_the_client_could_name_himself_will_do(relaying: World) -> None:
    relaying.made.configure(A2aSettings())
    called = {b"host": b"gate.example", b"x-forwarded-proto": b"https"}
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG, headers=called)
    assert len(await relaying.tell(token_of(relaying.given()["url"]), STATUS)) == 1


async def test_configurations_are_listed_read_and_deleted(relaying: World) -> None:
    second = {"taskId": "t1", "id": "q", "url": "https://hook.example/q"}
    for one in (CONFIG, second):
        await relaying.rig.ask(Operation.SET_PUSH, one)
    listed = await relaying.rig.ask(Operation.LIST_PUSH, {"taskId": "t1"})
    assert sorted(one["id"] for one in listed["configs"]) == ["p", "q"]
    assert listed["nextPageToken"] == ""
    legacy = await relaying.rig.ask(Operation.LIST_PUSH, {"id": "t1"}, version="0.3")
    assert {one["pushNotificationConfig"]["id"] for one in legacy} == {"p", "q"}
    assert await relaying.rig.ask(Operation.GET_PUSH, {"taskId": "t1", "id": "q"}) == second
    token = token_of(relaying.given()["url"])
    assert await relaying.rig.ask(Operation.DELETE_PUSH, {"taskId": "t1", "id": "q"}) == {}
    assert relaying.given(Operation.DELETE_PUSH) == {"taskId": "t1", "id": "q"}
    with pytest.raises(RpcError) as caught:
        await relaying.rig.ask(Operation.GET_PUSH, {"taskId": "t1", "id": "q"})
    assert caught.value.code == TASK_NOT_FOUND.code
    with pytest.raises(ResourceNotFound):
        await relaying.tell(token, STATUS)
    assert await relaying.rig.ask(Operation.DELETE_PUSH, {"taskId": "t1", "id": "q"}) == {}, "again"


async def test_0_3_may_leave_out_which_configuration_it_means(relaying: World) -> None:
    asked = {"taskId": "t1", "pushNotificationConfig": {"url": "https://hook.example/x"}}
    made = await relaying.rig.ask(Operation.SET_PUSH, asked, version="0.3")
    assert made["pushNotificationConfig"]["id"] == "t1"
    assert await relaying.rig.ask(Operation.GET_PUSH, {"id": "t1"}, version="0.3") == made
    deleted = {"id": "t1", "pushNotificationConfigId": "t1"}
    assert await relaying.rig.ask(Operation.DELETE_PUSH, deleted, version="0.3") is None
    with pytest.raises(RpcError, match="missing"):
        await relaying.rig.ask(Operation.DELETE_PUSH, {"id": "t1"}, version="0.3")


async def test_0_3_gets_what_was_set_without_an_id_whichever_it_asks_for(relaying: World) -> None:
    asked = {"taskId": "t1", "pushNotificationConfig": {"url": "https://hook.example/x"}}
    made = await relaying.rig.ask(Operation.SET_PUSH, asked, version="0.3")
    named = {"id": "t1", "pushNotificationConfigId": "default"}
    assert await relaying.rig.ask(Operation.GET_PUSH, named, version="0.3") == made
    with pytest.raises(RpcError):
        await relaying.rig.ask(Operation.GET_PUSH, {"taskId": "t1", "id": "default"})


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("shown", ["Bearer", 5, ["Bearer"]])
async def test_a_configuration_of_the_wrong_shape_is_refused(relaying: World, version: Version, shown: object) -> None:
    config = {"url": "https://hook.example/x", "authentication": shown}
    whole = {"taskId": "t1"} | (config if version == "1.0" else {"pushNotificationConfig": config})
    name = "taskPushNotificationConfig" if version == "1.0" else "pushNotificationConfig"
    for operation, asked in (
        (Operation.SET_PUSH, whole),
        (Operation.SEND, message() | {"configuration": {name: config}}),
    ):
        with pytest.raises(RpcError) as caught:
            await relaying.rig.ask(operation, asked, version=version)
        assert caught.value.code == INVALID_PARAMS.code


@pytest.mark.parametrize("answer", [None, [], {}, {"pushNotificationConfig": 5}, {"id": 5}])
async def test_an_agent_need_not_say_what_it_has_set(relaying: World, answer: object) -> None:
    relaying.rig.agent.answers[Operation.SET_PUSH] = answer
    assert await relaying.rig.ask(Operation.SET_PUSH, CONFIG) == CONFIG


async def test_what_the_agent_refuses_is_not_kept(relaying: World) -> None:
    relaying.rig.agent.answers[Operation.SET_PUSH] = refusal(PUSH_NOT_SUPPORTED)
    with pytest.raises(RpcError):
        await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    assert await relaying.rig.ledger.push("a", "t1") == {}


async def test_an_agent_may_call_a_configuration_what_it_wants(relaying: World) -> None:
    relaying.rig.agent.answers[Operation.SET_PUSH] = lambda params: params | {"id": "its own"}
    assert await relaying.rig.ask(Operation.SET_PUSH, CONFIG) == CONFIG
    relaying.rig.agent.answers[Operation.DELETE_PUSH] = UpstreamUnreachable()
    assert await relaying.rig.ask(Operation.DELETE_PUSH, {"taskId": "t1", "id": "p"}) == {}, "it is gone here"
    assert relaying.given(Operation.DELETE_PUSH)["id"] == "its own"


async def test_a_task_has_so_many_webhooks_and_no_more(relaying: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "MAX_CONFIGS", 1)
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    with pytest.raises(RpcError, match="at most 1"):
        await relaying.rig.ask(Operation.SET_PUSH, CONFIG | {"id": "q"})


@pytest.mark.requirement("a2a.push-relay")
@pytest.mark.parametrize("name", ["taskPushNotificationConfig", "task_push_notification_config"])
async def test_a_webhook_beside_a_message_is_relayed_from_the_first_word_on(relaying: World, name: str) -> None:
    inner = {key: value for key, value in CONFIG.items() if key not in {"taskId", "id"}}
    asked = message() | {"configuration": {name: inner, "returnImmediately": True}}
    early: list[Any] = []

    def answer(params: dict[str, Any]) -> Any:
        early.append(params["configuration"][name]["url"])
        return {"task": task("t2")}

    relaying.rig.agent.answers[Operation.SEND] = answer
    await relaying.rig.ask(Operation.SEND, asked)
    assert "hook.example" not in json.dumps(relaying.given(Operation.SEND))
    listed = await relaying.rig.ask(Operation.LIST_PUSH, {"taskId": "t2"})
    (config,) = listed["configs"]
    assert config == inner | {"taskId": "t2", "id": config["id"]}
    token = token_of(early[0])
    event = {"statusUpdate": STATUS["statusUpdate"] | {"taskId": "t2"}}
    assert len(await relaying.tell(token, event)) == 1
    unknown = {"statusUpdate": STATUS["statusUpdate"] | {"taskId": "t9"}}
    assert len(await relaying.tell(token, unknown)) == 1, "the answer may come later than the notice"
    await relaying.rig.ask(Operation.DELETE_PUSH, {"taskId": "t2", "id": config["id"]})
    relaying.rig.now += 100.0
    with pytest.raises(ResourceNotFound):
        await relaying.tell(token, event)


async def test_two_messages_have_webhooks_of_their_own(relaying: World) -> None:
    asked = message() | {"configuration": {"taskPushNotificationConfig": {"url": "https://hook.example/x"}}}
    urls = set()
    for request_id in ("1", "2"):
        await relaying.rig.ask(Operation.SEND, asked, request_id=request_id)
        urls.add(relaying.given(Operation.SEND)["configuration"]["taskPushNotificationConfig"]["id"])
    assert len(urls) == 2


@pytest.mark.parametrize("token", ["", "x", "v1.AAAA"])
async def test_an_address_that_was_not_made_here_is_none(relaying: World, token: str) -> None:
    with pytest.raises(ResourceNotFound):
        await relaying.made.behind(token)


async def test_an_agent_that_is_gone_tells_nothing(relaying: World) -> None:
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    token = token_of(relaying.given()["url"])
    settings = relaying.rig.registry.entries["a"]
    for agents in ({}, {"a": msgspec.structs.replace(settings, push="off")}):
        relaying.rig.registry.entries = agents
        with pytest.raises(ResourceNotFound):
            await relaying.made.behind(token)


NO_AGENTS = Grants(agents=Reach(layers=(Layer(has_none=True),)))


@pytest.mark.requirement("a2a.withdrawn")
@pytest.mark.parametrize(
    ("failure", "grants", "routes"),
    [
        (None, NO_AGENTS, ()),
        (None, NO_GRANTS, ("/mcp",)),
        (Unauthenticated(), NO_GRANTS, ()),
        (Forbidden(), NO_GRANTS, ()),
    ],
    ids=["grants", "routes", "deleted", "blocked"],
)
async def test_whoever_may_not_ask_the_agent_any_more_is_told_nothing(
    relaying: World, failure: GatewayError | None, grants: Grants, routes: tuple[str, ...]
) -> None:
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    token = token_of(relaying.given()["url"])
    assert len(await relaying.tell(token, STATUS)) == 1
    relaying.failure, relaying.grants, relaying.routes = failure, grants, routes
    with pytest.raises(ResourceNotFound):
        await relaying.tell(token, STATUS)
    assert {one.name for one in relaying.holders} == {"key:me"}


async def test_while_nobody_can_say_who_may_it_goes_on(relaying: World) -> None:
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    relaying.failure = Overloaded()
    assert len(await relaying.tell(token_of(relaying.given()["url"]), STATUS)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        {},
        {"task": {"id": "t2", "status": {"state": "TASK_STATE_WORKING"}}},
        {"statusUpdate": {"taskId": "t2"}},
    ],
)
async def test_what_is_no_notice_of_the_task_is_refused(relaying: World, body: Any) -> None:
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    with pytest.raises(InvalidRequest):
        await relaying.tell(token_of(relaying.given()["url"]), body)


@pytest.mark.requirement("a2a.ownership")
@pytest.mark.parametrize(
    "operation", [Operation.SET_PUSH, Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH]
)
async def test_webhooks_of_somebody_elses_task_look_like_none(relaying: World, operation: Operation) -> None:
    await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    with pytest.raises(RpcError) as caught:
        await relaying.rig.ask(operation, CONFIG, caller("key:other"))
    assert caught.value.code == TASK_NOT_FOUND.code
    assert list(await relaying.rig.ledger.push("a", "t1")) == ["p"]


@pytest.fixture
async def adding(tasks: Tasks) -> World:
    """A gateway that tells for an agent that cannot."""
    made = World(tasks, push="relay", adds=("push",))
    made.rig.cards.capabilities = {"streaming": True}
    made.made.configure(A2aSettings())
    await made.rig.begin("t1")
    return made


@pytest.mark.requirement("a2a.push-added")
async def test_for_an_agent_that_cannot_tell_the_gateway_listens(adding: World) -> None:
    working = {"task": task("t1")}
    adding.rig.agent.events = [working, STATUS]
    assert await adding.rig.ask(Operation.SET_PUSH, CONFIG) == CONFIG
    assert [(url, body) for url, _, body in await adding.heard()] == [(CONFIG["url"], working), (CONFIG["url"], STATUS)]
    assert Operation.SET_PUSH not in {asked for asked, _, _ in adding.rig.agent.asked}
    assert await adding.rig.ask(Operation.DELETE_PUSH, {"taskId": "t1", "id": "p"}) == {}
    assert Operation.DELETE_PUSH not in {asked for asked, _, _ in adding.rig.agent.asked}


@pytest.mark.requirement("a2a.push-added")
async def test_it_does_so_for_webhooks_beside_messages_too(adding: World) -> None:
    adding.rig.agent.answers[Operation.SEND] = {"task": task("t2")}
    adding.rig.agent.events = [{"task": task("t2", "TASK_STATE_COMPLETED")}]
    asked = message() | {"configuration": {"taskPushNotificationConfig": {"url": CONFIG["url"]}}}
    await adding.rig.ask(Operation.SEND, asked)
    assert adding.given(Operation.SEND) == message() | {"configuration": {}}
    ((url, _, body),) = await adding.heard()
    assert (url, body) == (CONFIG["url"], {"task": task("t2", "TASK_STATE_COMPLETED")})


@pytest.mark.requirement("a2a.withdrawn")
async def test_the_gateway_listens_no_more_for_whoever_may_not_ask_the_agent_any_more(adding: World) -> None:
    adding.rig.agent.events = [{"task": task("t1")}, STATUS]
    await adding.rig.ask(Operation.SET_PUSH, CONFIG)
    adding.failure = Unauthenticated()
    assert await adding.heard() == []
    assert Operation.SUBSCRIBE not in {asked for asked, _, _ in adding.rig.agent.asked}


@pytest.mark.requirement("a2a.withdrawn")
async def test_nor_in_the_middle_of_a_stream(adding: World) -> None:
    class Events(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            yield {"task": task("t1")}
            adding.failure = Unauthenticated()
            yield STATUS

    adding.rig.agent.events = Events()
    await adding.rig.ask(Operation.SET_PUSH, CONFIG)
    assert [body for _, _, body in await adding.heard()] == [{"task": task("t1")}]


async def test_while_the_store_is_away_it_listens_on(adding: World, monkeypatch: pytest.MonkeyPatch) -> None:
    adding.rig.agent.events = [STATUS]
    await adding.rig.ask(Operation.SET_PUSH, CONFIG)
    push, failures = adding.rig.ledger.push, [Overloaded()]

    async def once(agent: str, task_id: str) -> dict[str, str]:
        if failures:
            raise failures.pop()
        return await push(agent, task_id)

    monkeypatch.setattr(adding.rig.ledger, "push", once)
    assert len(await adding.heard()) == 1
    assert not failures


async def test_an_agent_that_can_tell_does_so_itself(adding: World) -> None:
    adding.rig.cards.capabilities = {"streaming": True, "pushNotifications": True}
    adding.made.configure(A2aSettings(public_url=PUBLIC))
    await adding.rig.ask(Operation.SET_PUSH, CONFIG)
    token_of(adding.given()["url"])
    assert not await adding.heard()


async def test_without_the_library_nothing_is_relayed(relaying: World) -> None:
    class Without(Sealer):
        def seal(self, text: str, context: str) -> str:
            raise CannotUnseal(f"{len(text)} {context}")

    relaying.sealer = Without(Secret("salt"))
    with pytest.raises(RpcError) as caught:
        await relaying.rig.ask(Operation.SET_PUSH, CONFIG)
    assert caught.value.code == PUSH_NOT_SUPPORTED.code
