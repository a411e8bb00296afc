from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from unit.mcp.peers import Talker, Wire, until

from pointsman.access.caller import Caller
from pointsman.errors import SessionLost, UpstreamBroken, UpstreamRejected, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.base import Interest, Sink
from pointsman.mcp.servers import legacy as legacy_of
from pointsman.mcp.servers.legacy import LegacyServer
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.servers.watchers import TOOLS, UPDATED
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import INTERNAL_ERROR, METHOD_NOT_FOUND, Message, RpcError, notification, raw, request

INTRODUCED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"resources": {"subscribe": True}},
    "serverInfo": {"name": "old"},
}
Reply = Mapping[str, Any] | Exception | None
Doing = Callable[[Message, Sink], Reply]
REJECTED = UpstreamRejected(status=405, kind="upstream_error")


def doing(**others: Doing) -> Doing:
    """A server that does something special with some methods, and says ``{}`` to all others."""

    def react(message: Message, tell: Sink) -> Reply:
        if message.method == "initialize":
            return INTRODUCED
        found = others.get(message.method.replace("/", "_"))
        return {} if found is None else found(message, tell)

    return react


def server(tasks: Tasks, wire: Wire, **profile: Any) -> LegacyServer:
    fields: dict[str, Any] = {"name": "a", "info": {"name": "gateway"}, "capabilities": {"sampling": {}}}
    return LegacyServer(wire, Profile(**fields | profile), tasks)


async def call(server: LegacyServer, method: str = "tools/call", asking: Talker | None = None, **params: Any) -> bytes:
    return bytes(await server.call(method, raw(params) if params else Raw(b""), asking or Talker(), 1e9))


async def test_a_session_begins_as_the_specification_says(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.has_session = True
    found = server(tasks, wire)
    introduced, again = await asyncio.gather(found.introduce(), found.introduce())
    assert introduced is again is found.introduction
    assert introduced.has_session
    assert wire.methods == ["initialize"]
    assert wire.requests[0].read() == {
        "protocolVersion": "2025-11-25",
        "capabilities": {"sampling": {}},
        "clientInfo": {"name": "gateway"},
    }
    assert wire.posts == [notification("notifications/initialized")]
    await found.close()
    assert wire.is_closed


async def test_a_pinned_revision_is_the_one_that_is_asked_for(tasks: Tasks) -> None:
    wire = Wire(doing())
    await server(tasks, wire, revision="2025-03-26").introduce()
    assert wire.requests[0].read()["protocolVersion"] == "2025-03-26"


async def test_a_call_goes_through_unchanged_in_the_servers_revision(tasks: Tasks) -> None:
    params = Raw(b'{"name": "t", "arguments": {"x":  1e2}, "_meta": {"vendor": 1}}')
    wire = Wire(doing(tools_call=lambda *_: {"content": []}))
    found = server(tasks, wire, forward=("x-team",))
    assert bytes(await found.call("tools/call", params, Talker(headers={b"x-team": b"a"}), 1e9)) == b'{"content":[]}'
    assert bytes(wire.requests[-1].params) == bytes(params)
    assert wire.headers[-1] == {"mcp-protocol-version": "2025-06-18", "x-team": "a"}


async def test_the_servers_error_is_the_clients(tasks: Tasks) -> None:
    error = RpcError(-32002, "Resource not found", {"uri": "a"})
    with pytest.raises(RpcError) as caught:
        await call(server(tasks, Wire(doing(tools_call=lambda *_: error))))
    assert (caught.value.code, caught.value.message, caught.value.data) == (error.code, error.message, error.data)


@pytest.mark.requirement("mcp.progress")
async def test_clients_with_the_same_progress_token_share_a_session(tasks: Tasks) -> None:
    def react(message: Message, tell: Sink) -> Reply:
        token = message.read()["_meta"]["progressToken"]
        tell(notification("notifications/progress", {"progressToken": token, "progress": token}))
        return {}

    wire = Wire(doing(tools_call=react))
    found = server(tasks, wire)
    talkers = [Talker(), Talker()]
    await asyncio.gather(*(call(found, asking=one, _meta={"progressToken": "t"}) for one in talkers))
    told = [one.told[0].read() for one in talkers]
    assert [one["progressToken"] for one in told] == ["t", "t"]
    assert len({one["progress"] for one in told}) == 2


@pytest.mark.requirement("mcp.sessions-again")
async def test_a_forgotten_session_is_begun_anew_once_and_told_everything_again(tasks: Tasks) -> None:
    lost = [True]

    def react(*_: Any) -> Reply:
        return SessionLost() if lost.pop() else {"again": True}

    wire = Wire(doing(tools_call=react))
    found = server(tasks, wire)
    await call(found, "logging/setLevel", level="warning")
    lost[:] = [False, True]
    assert await call(found, name="t") == b'{"again":true}'
    assert wire.methods == [
        "initialize",
        "logging/setLevel",
        "tools/call",
        "initialize",
        "logging/setLevel",
        "tools/call",
    ]
    lost[:] = [True, True]
    with pytest.raises(SessionLost):
        await call(found)


async def test_calls_that_find_the_session_gone_together_begin_one(tasks: Tasks) -> None:
    lost = [False, False, True, True]
    wire = Wire(doing(tools_call=lambda *_: SessionLost() if lost.pop() else {}))
    found = server(tasks, wire)
    await asyncio.gather(call(found), call(found))
    assert wire.methods.count("initialize") == 2


async def test_a_session_that_was_begun_meanwhile_is_kept(tasks: Tasks) -> None:
    class Slow(Wire):
        """Says late to the first call that its session was gone."""

        is_late = asyncio.Event()

        async def request(self, message: Message, on_message: Sink, **more: Any) -> Message:
            if message.method == "slow" and message.id == 2:
                await self.is_late.wait()
                raise SessionLost
            return await super().request(message, on_message, **more)

    lost = [False, True]
    wire = Slow(doing(tools_call=lambda *_: SessionLost() if lost.pop() else {}))
    found = server(tasks, wire)
    task = asyncio.ensure_future(call(found, "slow"))
    await until(lambda: found.introduction)
    await asyncio.sleep(0)
    await call(found)
    wire.is_late.set()
    assert await task == b"{}"
    assert wire.methods.count("initialize") == 2


@pytest.mark.requirement("mcp.once")
async def test_a_call_that_may_have_been_acted_on_is_not_made_again(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: UpstreamBroken()))
    with pytest.raises(UpstreamBroken):
        await call(server(tasks, wire))
    assert wire.methods.count("tools/call") == 1


@pytest.mark.parametrize("is_late", [True, False])
async def test_a_server_is_told_that_nobody_waits_any_more(tasks: Tasks, is_late: bool) -> None:
    wire = Wire(doing(tools_call=lambda *_: UpstreamTimeout() if is_late else None))
    found = server(tasks, wire)
    task = asyncio.ensure_future(call(found))
    await until(lambda: "tools/call" in wire.methods)
    if not is_late:
        task.cancel()
    await asyncio.wait((task,))
    await until(lambda: len(wire.posts) == 2)
    assert wire.posts[1].method == "notifications/cancelled"
    assert wire.posts[1].read()["requestId"] == wire.requests[-1].id


async def test_a_server_that_cannot_be_reached_can_be_reached_later(tasks: Tasks) -> None:
    failures: list[Exception] = [UpstreamUnreachable(), RpcError(-1, "no")]
    ready = doing()
    wire = Wire(lambda *given: failures.pop() if failures else ready(*given))
    found = server(tasks, wire)
    with pytest.raises(RpcError):
        await found.introduce()
    with pytest.raises(UpstreamUnreachable):
        await call(found)
    assert await call(found) == b"{}"


# What a server asks.


def asks(*messages: Message) -> Doing:
    def react(_: Message, tell: Sink) -> Reply:
        for one in messages:
            tell(one)
        return None

    return react


def answers(wire: Wire) -> list[Message]:
    return [one for one in wire.posts if not one.method]


async def asked(tasks: Tasks, wire: Wire, talker: Talker, count: int = 1, **profile: Any) -> list[Message]:
    found = server(tasks, wire, **profile)
    task = asyncio.ensure_future(call(found, asking=talker))
    await until(lambda: len(answers(wire)) >= count)
    task.cancel()
    await asyncio.wait((task,))
    return answers(wire)


async def test_a_client_is_asked_in_the_stream_of_its_call(tasks: Tasks) -> None:
    question = request("q1", "sampling/createMessage", {"x": 1})
    talker = Talker(answers={"sampling/createMessage": {"role": "assistant"}})
    (answer,) = await asked(tasks, Wire(doing(tools_call=asks(question))), talker)
    assert (answer.id, bytes(answer.result)) == ("q1", b'{"role":"assistant"}')
    assert talker.asked == [("sampling/createMessage", b'{"x":1}')]


@pytest.mark.parametrize(
    ("error", "code"), [(RpcError(-1, "User rejected"), -1), (UpstreamTimeout("late"), INTERNAL_ERROR)]
)
async def test_a_client_that_refuses_is_an_error_for_the_server(tasks: Tasks, error: Exception, code: int) -> None:
    wire = Wire(doing(tools_call=asks(request(0, "elicitation/create"))))
    (answer,) = await asked(tasks, wire, Talker(answers={"elicitation/create": error}))
    assert (answer.id, msgspec.json.decode(answer.error)["code"]) == (0, code)


async def test_a_ping_is_answered_by_the_gateway(tasks: Tasks) -> None:
    talker = Talker()
    (answer,) = await asked(tasks, Wire(doing(tools_call=asks(request(3, "ping")))), talker)
    assert (answer.id, bytes(answer.result), talker.asked) == (3, b"{}", [])


async def test_a_server_cannot_ask_for_too_much_at_a_time(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=asks(*(request(n, "roots/list") for n in range(20)))))
    found = await asked(tasks, wire, Talker(), 4)
    assert [one.id for one in found] == [16, 17, 18, 19]


async def test_a_question_that_the_server_takes_back_is_not_answered(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=asks(request("q", "roots/list"))))
    talker = Talker()
    found = server(tasks, wire)
    task = asyncio.ensure_future(call(found, asking=talker))
    await until(lambda: talker.asked and wire.hearers)
    running = len(tasks)
    wire.hearers[0](notification("notifications/cancelled", {"requestId": "q"}))
    wire.hearers[0](notification("notifications/cancelled", {"requestId": "unknown"}))
    wire.hearers[0](notification("notifications/cancelled", Raw(b"[]")))
    await until(lambda: len(tasks) < running)
    task.cancel()
    await asyncio.wait((task,))
    assert answers(wire) == []


async def test_questions_end_with_their_call(tasks: Tasks) -> None:
    def react(_: Message, tell: Sink) -> Reply:
        tell(request("q", "roots/list"))
        return {}

    wire = Wire(doing(tools_call=react))
    found = server(tasks, wire)
    await call(found)
    await found.close()
    await until(lambda: len(tasks) == 0)
    assert answers(wire) == []


async def test_a_question_outside_of_a_stream_is_for_the_only_call(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: None))
    talker = Talker(answers={"roots/list": {"roots": []}})
    found = server(tasks, wire)
    running = [asyncio.ensure_future(call(found, asking=talker))]
    await until(lambda: "tools/call" in wire.methods and wire.hearers)
    wire.hearers[0](request(1, "roots/list"))
    await until(lambda: len(answers(wire)) == 1)
    running.append(asyncio.ensure_future(call(found, asking=Talker(session="other"))))
    await until(lambda: wire.methods.count("tools/call") == 2)
    wire.hearers[0](request(2, "roots/list"))
    await until(lambda: len(answers(wire)) == 2)
    first, second = answers(wire)
    assert bytes(first.result) == b'{"roots":[]}'
    assert msgspec.json.decode(second.error)["code"] == METHOD_NOT_FOUND
    for task in running:
        task.cancel()
    await asyncio.wait(running)


@pytest.mark.requirement("mcp.isolation")
@pytest.mark.parametrize("is_modern", [False, True])
async def test_what_the_call_of_one_key_has_led_to_is_not_asked_of_another_one(
    tasks: Tasks, is_modern: bool, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire(doing(tools_call=lambda *_: None))
    found = server(tasks, wire)
    bob = Talker("modern" if is_modern else "legacy", {"elicitation/create": {}}, caller=Caller(name="key:bob"))
    left = asyncio.ensure_future(call(found, asking=Talker(caller=Caller(name="key:alice"))))
    await until(lambda: "tools/call" in wire.methods and wire.hearers)
    left.cancel()
    await asyncio.wait((left,))
    running = asyncio.ensure_future(call(found, asking=bob))
    await until(lambda: wire.methods.count("tools/call") == 2)
    for number in (1, 2):
        wire.hearers[0](request(number, "elicitation/create", {"message": "for alice"}))
        wire.hearers[0](notification("notifications/message", {"level": "info", "data": "for alice"}))
    await until(lambda: len(answers(wire)) == 2)
    running.cancel()
    await asyncio.wait((running,))
    assert "isolation: session" in msgspec.json.decode(answers(wire)[0].error)["message"]
    assert (bob.asked, bob.told) == ([], [])
    assert sum("isolation: session" in one.message for one in caplog.records) == 1


async def test_a_session_that_begins_anew_has_nothing_of_those_who_called_before(tasks: Tasks) -> None:
    lost = [False, False, True, False]
    wire = Wire(doing(tools_call=lambda *_: SessionLost() if lost.pop() else {}, slow=lambda *_: None))
    found = server(tasks, wire)
    alice, bob = (Talker(caller=Caller(name=name), answers={"roots/list": {}}) for name in ("a", "b"))
    await call(found, asking=alice)
    await call(found, asking=bob)
    running = asyncio.ensure_future(call(found, "slow", bob))
    await until(lambda: "slow" in wire.methods and wire.hearers)
    wire.hearers[0](request(1, "roots/list"))
    await until(lambda: answers(wire))
    running.cancel()
    await asyncio.wait((running,))
    assert len(bob.asked) == 1


async def test_in_a_session_of_its_own_a_question_is_for_the_last_call(tasks: Tasks) -> None:
    wire = Wire(doing(tools_call=lambda *_: None))
    talkers = [Talker(), Talker(answers={"roots/list": {"roots": []}})]
    found = server(tasks, wire, is_own=True)
    running = [asyncio.ensure_future(call(found, asking=one)) for one in talkers]
    await until(lambda: wire.methods.count("tools/call") == 2 and wire.hearers)
    wire.hearers[0](request(1, "roots/list"))
    await until(lambda: answers(wire))
    assert [len(one.asked) for one in talkers] == [0, 1]
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_nobody_is_there_to_be_asked(tasks: Tasks) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    await found.introduce()
    await until(lambda: wire.hearers)
    wire.hearers[0](request(1, "roots/list"))
    await until(lambda: answers(wire))
    assert msgspec.json.decode(answers(wire)[0].error)["code"] == METHOD_NOT_FOUND


# What a server tells.


async def test_log_messages_are_for_the_call_in_whose_stream_they_come(tasks: Tasks) -> None:
    news = notification("notifications/message", {"level": "info", "data": "x"})

    def react(_: Message, tell: Sink) -> Reply:
        tell(news)
        return {}

    talker = Talker()
    await call(server(tasks, Wire(doing(tools_call=react))), asking=talker)
    assert talker.told == [news]


async def test_what_belongs_to_nobody_is_told_only_where_it_can_be_for_one_client(tasks: Tasks) -> None:
    news = notification("notifications/message", {"data": "x"})
    for is_own in (True, False):
        wire = Wire(doing())
        found = server(tasks, wire, is_own=is_own)
        heard: list[Message] = []
        found.watch(Interest(tools=True), heard.append)
        await until(lambda: wire.hearers)  # noqa: B023
        wire.hearers[0](news)
        assert heard == ([news] if is_own else [])
        await found.close()


async def test_changes_are_for_who_watches_wherever_they_come(tasks: Tasks) -> None:
    def react(_: Message, tell: Sink) -> Reply:
        tell(notification(TOOLS))
        return {}

    wire = Wire(doing(tools_call=react))
    found = server(tasks, wire)
    heard: list[Message] = []
    watch = found.watch(Interest(tools=True), heard.append)
    talker = Talker()
    await call(found, asking=talker)
    await until(lambda: wire.hearers)
    wire.hearers[0](notification(TOOLS))
    assert ([one.method for one in heard], talker.told) == ([TOOLS, TOOLS], [])
    watch.close()
    await call(found, asking=talker)
    assert [one.method for one in talker.told] == [TOOLS]


async def test_resources_are_subscribed_to_as_long_as_somebody_watches_them(tasks: Tasks) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    heard: list[Message] = []
    one = found.watch(Interest(uris=frozenset({"a"})), heard.append)
    await until(lambda: "resources/subscribe" in wire.methods)
    two = found.watch(Interest(uris=frozenset({"a", "b"})), heard.append)
    await until(lambda: wire.methods.count("resources/subscribe") == 2)
    wire.hearers[0](notification(UPDATED, {"uri": "b"}))
    assert [one.read() for one in heard] == [{"uri": "b"}]
    one.close()
    two.close()
    await until(lambda: wire.methods.count("resources/unsubscribe") == 2)
    asked = [(one.method.rpartition("/")[2], one.read()["uri"]) for one in wire.requests if "resources" in one.method]
    assert asked == [("subscribe", "a"), ("subscribe", "b"), ("unsubscribe", "a"), ("unsubscribe", "b")]


async def test_a_server_that_refuses_a_subscription_is_watched_for_the_rest(tasks: Tasks) -> None:
    wire = Wire(doing(resources_subscribe=lambda *_: RpcError(-32602, "unknown")))
    found = server(tasks, wire)
    heard: list[Message] = []
    found.watch(Interest(tools=True, uris=frozenset({"a"})), heard.append)
    await until(lambda: wire.hearers and "resources/subscribe" in wire.methods)
    wire.hearers[0](notification(TOOLS))
    assert len(heard) == 1


@pytest.mark.parametrize("error", [UpstreamBroken(), SessionLost()])
@pytest.mark.requirement("mcp.changes")
async def test_after_a_broken_connection_what_may_have_been_missed_is_told(tasks: Tasks, error: Exception) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    heard: list[Message] = []
    found.watch(Interest(tools=True, uris=frozenset({"a"})), heard.append)
    await until(lambda: wire.silence and "resources/subscribe" in wire.methods)
    assert heard == []
    assert wire.silence is not None
    wire.failures = [UpstreamUnreachable()]
    wire.silence.set_exception(error)
    await until(lambda: not wire.failures and wire.hearers)
    assert {one.method for one in heard} == {TOOLS, UPDATED}
    is_new = isinstance(error, SessionLost)
    await until(lambda: wire.methods.count("resources/subscribe") == 1 + is_new)
    assert wire.methods.count("initialize") == 1 + is_new


async def test_a_server_that_says_nothing_of_itself_is_not_asked_again(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.failures = [REJECTED]
    found = server(tasks, wire)
    await found.introduce()
    await until(lambda: len(tasks) == 0)
    assert await call(found) == b"{}"


async def test_a_server_whose_changes_nobody_watches_is_not_heard_for_ever(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.failures = [UpstreamBroken() for _ in range(100)]
    await server(tasks, wire).introduce()
    await until(lambda: len(tasks) == 0)
    assert len(wire.failures) == 95


async def test_a_client_announces_something_to_a_server_that_was_reached(tasks: Tasks) -> None:
    wire = Wire(doing())
    found = server(tasks, wire)
    await found.notify("notifications/roots/list_changed", Raw(b""))
    assert wire.posts == []
    await found.introduce()
    await found.notify("notifications/roots/list_changed", Raw(b""))
    assert wire.posts[-1] == notification("notifications/roots/list_changed")


async def test_a_watch_is_ready_when_the_stream_is_there_and_the_server_knows_the_resources(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.opens = False
    found = server(tasks, wire)
    waiting = asyncio.ensure_future(found.watch(Interest(tools=True, uris=frozenset({"a"})), _nothing).ready())
    await until(lambda: "resources/subscribe" in wire.methods and wire.hearers and len(tasks) == 1)
    assert not waiting.done()
    wire.open()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(found.watch(Interest(tools=True), _nothing).ready(), 1)
    await asyncio.wait_for(found.watch(Interest(uris=frozenset({"b"})), _nothing).ready(), 1)
    assert wire.methods.count("resources/subscribe") == 2
    await found.close()


@pytest.mark.parametrize("is_refused", [True, False])
async def test_where_nothing_is_ever_told_nobody_waits(tasks: Tasks, is_refused: bool) -> None:
    wire = Wire(doing(initialize=lambda *_: INTRODUCED))
    if is_refused:
        wire.failures.append(REJECTED)
    found = server(tasks, wire)
    await asyncio.wait_for(found.watch(Interest(tools=True), _nothing).ready(), 1)
    await found.close()


async def test_the_first_call_of_a_session_of_its_own_waits_for_the_stream(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.has_session, wire.opens = True, False
    found = server(tasks, wire, is_own=True)
    calling = asyncio.ensure_future(call(found))
    await until(lambda: wire.hearers)
    assert wire.methods == ["initialize"]
    wire.open()
    await calling
    assert wire.methods == ["initialize", "tools/call"]
    await found.close()


async def test_it_does_not_wait_for_long_and_only_once(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_of, "OPEN_SECONDS", 0.001)
    wire = Wire(doing())
    wire.has_session, wire.opens = True, False
    found = server(tasks, wire, is_own=True)
    await asyncio.wait_for(call(found), 5)
    monkeypatch.setattr(legacy_of, "OPEN_SECONDS", 60.0)
    await asyncio.wait_for(call(found), 5)
    await found.close()


async def test_a_shared_session_does_not_wait(tasks: Tasks) -> None:
    wire = Wire(doing())
    wire.has_session, wire.opens = True, False
    found = server(tasks, wire)
    await asyncio.wait_for(call(found), 0.4)
    await found.close()


async def test_a_session_of_its_own_that_rests_has_no_stream(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_of, "REST_SECONDS", 0.0)
    wire = Wire(doing())
    wire.has_session = True
    found = server(tasks, wire, is_own=True)
    watch = found.watch(Interest(tools=True), _nothing)
    await call(found)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(wire.hearers) == 1
    watch.close()
    await until(lambda: not wire.hearers)
    monkeypatch.setattr(legacy_of, "REST_SECONDS", 60.0)
    await call(found)
    assert len(wire.hearers) == 1
    await found.close()


def _nothing(_message: Message) -> None:
    """Nobody listens."""
