from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from replies import Reply

from pointsman.a2a.fronts.entry import Fronts
from pointsman.a2a.fronts.streams import Request
from pointsman.a2a.settings import A2aSettings

Make = Callable[..., tuple[Request, Reply]]
STREAM = b'{"jsonrpc":"2.0","id":1,"method":"SendStreamingMessage","params":{}}'


async def test_both_bindings_come_in_here(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    request, reply = make_request(STREAM.replace(b"SendStreamingMessage", b"GetTask"))
    await fronts.post(request)
    assert reply.json["result"] == {"task": {"id": "t"}}
    request, reply = make_request(method="GET", path="tasks/t")
    await fronts.rest(request)
    assert reply.json == {"task": {"id": "t"}}
    assert [call.version for call in gateway.calls] == ["1.0", "1.0"]


async def test_pings_and_bounds_are_those_of_the_settings_in_force(
    fronts: Fronts, gateway: Any, make_request: Make
) -> None:
    fronts.configure(A2aSettings(ping_seconds=0.002, max_streams=1))
    request, reply = make_request(STREAM)
    gateway.will_tell(b"{}")
    task = asyncio.get_running_loop().create_task(fronts.post(request))
    await reply.until(1)
    other, refused = make_request(STREAM)
    await fronts.post(other)
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    # The first of these timers was made by the settings before.
    fronts._beats.beat()
    async with asyncio.timeout(5):
        while not reply.body.endswith(b"\n\n:\n\n"):
            reply.news.clear()
            await reply.news.wait()
    gateway.will_tell(None)
    await task


async def test_quiet_streams_end_when_the_gateway_does(fronts: Fronts, gateway: Any, make_request: Make) -> None:
    request, reply = make_request(STREAM)
    gateway.will_tell(b"{}")
    task = asyncio.get_running_loop().create_task(fronts.post(request))
    await reply.until(1)
    fronts.drain()
    fronts._beats.beat()
    fronts._beats.beat()
    await task
    assert reply.messages[-1]["error"]["code"] == 503
