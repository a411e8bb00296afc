from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.errors import GatewayError, Overloaded, SessionLost, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.protocol.revisions import SUBSCRIPTION
from pointsman.mcp.transports.child import Child, Command, Listener
from pointsman.mcp.transports.stdio import Stdio
from pointsman.wire.jsonrpc import Message, RpcError, notification, request

SERVER = str(Path(__file__).parents[1] / "stdio_server.py")
SECONDS = 20.0


class FakeHost:
    """Starts whatever it is asked for."""

    def __init__(self) -> None:
        self.command: tuple[str, ...] = (sys.executable, "-I", "-S", SERVER)
        self.start_seconds = SECONDS
        self.refusal: GatewayError | None = None
        self.words: list[bytes] = []
        self.made: list[Child] = []
        self.ends: list[tuple[int, bool]] = []
        self.closed: list[Stdio] = []

    @property
    def last_words(self) -> str:
        return b"; ".join(self.words).decode()

    def make(self, listener: Listener) -> Child:
        self.made.append(Child(Command(argv=self.command, env={}, max_line=100_000), listener))
        return self.made[-1]

    async def start(self, child: Child, deadline: float) -> None:
        if self.refusal is not None:
            raise self.refusal
        await child.start()

    def on_word(self, line: bytes) -> None:
        self.words.append(line)

    def on_gone(self, child: Child, status: int, *, is_useful: bool) -> None:
        self.ends.append((status, is_useful))

    def on_closed(self, stdio: Stdio) -> None:
        self.closed.append(stdio)


class Calls:
    """Calls over one transport."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.stdio = Stdio(host)
        self.heard: list[Message] = []
        self.number = 0

    async def __call__(self, method: str, params: Any = None, seconds: float = SECONDS) -> Any:
        self.number += 1
        raw = msgspec.Raw(params if isinstance(params, bytes) else msgspec.json.encode(params or {}))
        deadline = asyncio.get_running_loop().time() + seconds
        message = request(self.number, method, raw)
        answer = await self.stdio.request(message, self.heard.append, headers={}, deadline=deadline)
        return answer.outcome()

    async def post(self, message: Message, seconds: float = SECONDS) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        await self.stdio.post(message, headers={}, deadline=deadline)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
async def call(host: FakeHost) -> AsyncIterator[Calls]:
    calls = Calls(host)
    yield calls
    await calls.stdio.close()


@pytest.mark.parametrize("beginning", ["initialize", "server/discover"])
async def test_what_begins_a_session_starts_the_process_that_has_it(call: Calls, beginning: str) -> None:
    pid = (await call(beginning))["pid"]
    assert (await call("about"))["pid"] == pid
    assert (await call("initialize"))["pid"] == pid
    assert len(call.host.made) == 1


async def test_without_a_process_nothing_else_is_sent(call: Calls) -> None:
    with pytest.raises(SessionLost):
        await call("tools/call")
    with pytest.raises(SessionLost):
        await call.post(notification("notifications/x"))
    with pytest.raises(SessionLost):
        await call.stdio.listen(print, headers={})
    assert call.host.made == []


@pytest.mark.requirement("mcp.broken-text")
async def test_an_answer_with_half_a_character_is_an_answer(call: Calls) -> None:
    await call("initialize")
    line = '{"jsonrpc":"2.0","id":2,"result":{"text":"cut \\ud83d"}}'
    assert await call("noise", {"lines": [line]}) == {"text": "cut \ufffd"}


@pytest.mark.requirement("mcp.broken-text")
@pytest.mark.parametrize(
    "line", ['{"jsonrpc":"2.0","id":2,"result":{"x":NaN}}', '{"result":{"x":\x01},"id":2,"jsonrpc":"2.0"}']
)
async def test_an_answer_that_cannot_be_read_fails_its_call_at_once(call: Calls, line: str) -> None:
    await call("initialize")
    with pytest.raises(RpcError, match="is no JSON"):
        await call("noise", {"lines": [line]})
    assert await call("echo", {"a": 1}) == {"a": 1}


async def test_two_beginnings_at_a_time_start_one_process(call: Calls) -> None:
    one, two = await asyncio.gather(call("initialize"), call("server/discover"))
    assert one["pid"] == two["pid"]


async def test_many_requests_go_on_at_a_time(call: Calls) -> None:
    await call("initialize")
    found = await asyncio.gather(*(call("echo", {"number": number}) for number in range(200)))
    assert found == [{"number": number} for number in range(200)]


async def test_line_ends_in_a_message_do_not_cut_it(call: Calls) -> None:
    await call("initialize")
    assert await call("echo", b'{\n "a":\r\n ["\\n"]}') == {"a": ["\n"]}


async def test_what_is_no_message_is_passed_over_and_kept_for_the_operator(call: Calls) -> None:
    await call("initialize")
    await call(
        "noise", {"lines": ["Listening!", '{"half": ', '{"jsonrpc":"1.0","id":1,"result":{}}', "[]"], "error": "e"}
    )
    assert await call("echo", {"still": "there"}) == {"still": "there"}
    assert {b"Listening!", b'{"half": ', b"[]"} <= set(call.host.words)


async def test_a_batch_is_as_good_as_its_messages(call: Calls) -> None:
    await call("initialize")
    batch = '[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]'
    await call("noise", {"lines": [batch]})
    assert [message.method for message in call.heard] == ["a", "b"]


async def test_a_notification_goes_to_the_request_that_it_names(call: Calls) -> None:
    await call("initialize")
    waiting = asyncio.ensure_future(call("hang"))
    await asyncio.sleep(0)
    other: list[Message] = []
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": call.number}}
    tagged = {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": {SUBSCRIPTION: call.number}}}
    mine, call.heard = call.heard, other
    await call("tell", {"messages": [progress, tagged]})
    assert [message.method for message in mine] == ["notifications/progress", "notifications/x"]
    assert other == []
    waiting.cancel()


async def test_what_names_no_request_goes_to_who_listens(call: Calls) -> None:
    await call("initialize")
    listened: list[Message] = []
    listening = asyncio.ensure_future(call.stdio.listen(listened.append, headers={}))
    await asyncio.sleep(0)
    asked = {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {}}
    await call("tell", {"messages": [asked]})
    assert [message.method for message in listened] == ["sampling/createMessage"]
    assert call.heard == []
    await call.stdio.close()
    with pytest.raises(SessionLost):
        await listening


async def test_an_answer_that_is_too_long_fails_its_request_alone(call: Calls) -> None:
    await call("initialize")
    with pytest.raises(Exception, match="longer than is allowed"):
        await call("big", {"bytes": 200_000})
    assert await call("echo", {"a": 1}) == {"a": 1}


async def test_a_long_line_that_is_no_answer_is_passed_over(call: Calls) -> None:
    await call("initialize")
    await call("noise", {"lines": ["x" * 200_000]})
    assert any(word.startswith(b"xxx") for word in call.host.words)


async def test_no_answer_in_time_is_a_timeout_and_the_process_goes_on(call: Calls) -> None:
    pid = (await call("initialize"))["pid"]
    with pytest.raises(UpstreamTimeout):
        await call("hang", seconds=0.01)
    assert (await call("about"))["pid"] == pid


async def test_notifications_reach_the_server(call: Calls) -> None:
    await call("initialize")
    await call.post(notification("notifications/initialized"))
    methods = [message["method"] for message in (await call("seen"))["messages"]]
    assert methods == ["initialize", "notifications/initialized", "seen"]


async def test_a_request_that_the_dying_process_had_read_must_not_be_repeated(call: Calls) -> None:
    await call("initialize")
    with pytest.raises(UpstreamBroken) as caught:
        await call("die", {"status": 3})
    assert "exit status 3: " in str(caught.value.operator_detail)
    assert call.host.ends == [(3, False)]


async def test_a_request_that_the_dying_process_had_not_read_is_lost_only(call: Calls) -> None:
    pid = (await call("initialize"))["pid"]
    asking = asyncio.ensure_future(call("deaf"))
    while not call.heard:
        await asyncio.sleep(0.001)
    lost = asyncio.ensure_future(call("echo"))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SessionLost):
        await lost
    with pytest.raises(UpstreamBroken):
        await asking


async def test_after_a_death_the_next_beginning_starts_another_process(call: Calls) -> None:
    pid = (await call("initialize"))["pid"]
    await call("about")
    with pytest.raises(UpstreamBroken):
        await call("die")
    with pytest.raises(SessionLost):
        await call("about")
    assert (await call("initialize"))["pid"] != pid
    assert call.host.ends == [(3, True)]


async def test_a_process_that_ends_before_any_answer_could_not_be_started(call: Calls) -> None:
    call.host.command = ("/nowhere/at-all",)
    with pytest.raises(UpstreamUnreachable) as caught:
        await call("initialize")
    assert "exit status 127" in str(caught.value.operator_detail)
    assert "/nowhere" not in caught.value.message
    assert call.host.ends == [(127, False)]


async def test_a_process_that_is_gone_before_it_is_asked_keeps_nobody_waiting(call: Calls) -> None:
    class Slow(FakeHost):
        async def start(self, child: Child, deadline: float) -> None:
            await super().start(child, deadline)
            while not self.ends:
                await asyncio.sleep(0.001)

    slow = Calls(Slow())
    slow.host.command = ("/nowhere/at-all",)
    with pytest.raises(UpstreamUnreachable):
        await slow("initialize")


async def test_a_process_that_answers_nothing_is_ended(call: Calls) -> None:
    call.host.start_seconds = 0.05
    call.host.command = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)")
    with pytest.raises(UpstreamUnreachable):
        await call("initialize")
    assert call.host.ends == [(137, False)]


async def test_a_refusal_to_start_is_told(call: Calls) -> None:
    call.host.refusal = Overloaded()
    with pytest.raises(Overloaded):
        await call("initialize")
    call.host.refusal = None
    assert (await call("initialize"))["pid"]


async def test_a_server_that_reads_nothing_holds_nobody_up_for_ever(call: Calls) -> None:
    await call("initialize")
    asking = asyncio.ensure_future(call("deaf"))
    while not call.heard:
        await asyncio.sleep(0.001)
    text = {"text": "x" * 2_000_000}
    waiting = asyncio.ensure_future(call("echo", text))
    await asyncio.sleep(0)
    with pytest.raises(UpstreamTimeout):
        await call("echo", text, seconds=0.01)
    with pytest.raises(UpstreamTimeout):
        await call.post(notification("notifications/x"), seconds=0.01)
    call.host.made[0].kill()
    for each, error in ((waiting, SessionLost), (asking, UpstreamBroken)):
        with pytest.raises(error):
            await each


async def test_it_is_idle_when_there_is_a_process_and_no_request(call: Calls) -> None:
    found = [call.stdio.is_idle]
    await call("initialize")
    found.append(call.stdio.is_idle)
    waiting = asyncio.ensure_future(call("hang"))
    await asyncio.sleep(0)
    found.append(call.stdio.is_idle)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    found.append(call.stdio.is_idle)
    call.stdio.rest()
    found.append(call.stdio.is_idle)
    assert found == [False, True, False, True, False]


async def test_one_that_rests_ends_and_is_started_again_when_it_is_needed(call: Calls) -> None:
    pid = (await call("initialize"))["pid"]
    call.stdio.rest()
    with pytest.raises(SessionLost):
        await call("about")
    assert (await call("initialize"))["pid"] != pid


async def test_closing_ends_the_process_and_lets_none_begin(call: Calls) -> None:
    await call("initialize")
    await call.stdio.close()
    assert call.host.closed == [call.stdio]
    assert call.host.ends == [(0, False)]
    with pytest.raises(SessionLost):
        await call("initialize")
