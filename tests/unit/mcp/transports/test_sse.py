from __future__ import annotations

import asyncio

import pytest
from unit.mcp.peers import until
from unit.upstream.peers import Answer, Peer, Request, event, events, json

from pointsman.errors import SessionLost, UpstreamBroken, UpstreamRejected, UpstreamTimeout
from pointsman.mcp.transports.http import WHO
from pointsman.mcp.transports.sse import Sse
from pointsman.upstream.addresses import Address
from pointsman.wire.jsonrpc import Message, notification, request, success

ENDPOINT = "event: endpoint\ndata: /messages?session_id=1\n\n"


def ignore(_message: Message) -> None:
    return None


class Server:
    """A server that answers each message that has a result ready for its method."""

    def __init__(self, endpoint: str = ENDPOINT, **results: object) -> None:
        self.stream = events(endpoint, is_open=True)
        self.results = results
        self.status = 202
        self.peer = Peer(on=self._on)

    def _on(self, asked: Request) -> Answer:
        if asked.method == "GET":
            return self.stream
        if asked.message.method in self.results:
            self.stream.response.feed(event(success(asked.message.id, {"is": asked.message.method})))  # type: ignore[arg-type]
        return json({}, self.status)


def transport(server: Server) -> Sse:
    return Sse(Address(upstream=server.peer, who=WHO, url="http://mcp.test/a/sse", headers={"x-key": "k"}))


async def ask(transport: Sse, number: int, method: str, seconds: float = 5.0) -> Message:
    deadline = asyncio.get_running_loop().time() + seconds
    return await transport.request(request(number, method), ignore, headers={}, deadline=deadline)


async def test_one_stream_brings_all_answers() -> None:
    server = Server(initialize={}, ping={})
    found = transport(server)
    await ask(found, 1, "initialize")
    answers = await asyncio.gather(ask(found, 2, "ping"), ask(found, 3, "ping"))
    assert [one.id for one in answers] == [2, 3]
    assert [(one.method, one.target) for one in server.peer.requests] == [
        ("GET", "/a/sse"),
        *[("POST", "/messages?session_id=1")] * 3,
    ]
    assert {one.headers["x-key"] for one in server.peer.requests} == {"k"}
    assert found.has_session
    await found.close()


async def test_what_belongs_to_no_request_is_listened_to() -> None:
    server = Server(initialize={})
    found = transport(server)
    heard: list[Message] = []
    await ask(found, 1, "initialize")
    task = asyncio.ensure_future(found.listen(heard.append, headers={}))
    await asyncio.sleep(0)
    server.stream.response.feed(event(notification("a")))
    assert heard == [notification("a")]
    server.stream.response.finish()
    with pytest.raises(SessionLost):
        await task


async def test_without_a_stream_there_is_no_session() -> None:
    found = transport(Server())
    with pytest.raises(SessionLost):
        await ask(found, 1, "ping")
    with pytest.raises(SessionLost):
        await found.listen(ignore, headers={})


async def test_a_stream_that_ends_fails_what_waits_and_ends_the_session() -> None:
    server = Server(initialize={})
    found = transport(server)
    await ask(found, 1, "initialize")
    task = asyncio.ensure_future(ask(found, 2, "ping"))
    await until(lambda: len(server.peer.requests) == 3)
    await asyncio.sleep(0)
    server.stream.response.fail(UpstreamBroken(operator_detail="cut"))
    with pytest.raises(UpstreamBroken, match="ended") as caught:
        await task
    assert caught.value.operator_detail == "cut"
    with pytest.raises(SessionLost):
        await ask(found, 3, "ping")


async def test_a_new_session_has_a_new_stream() -> None:
    server = Server(initialize={}, ping={})
    found = transport(server)
    await ask(found, 1, "initialize")
    old, server.stream = server.stream, events(ENDPOINT, is_open=True)
    await ask(found, 2, "initialize")
    await ask(found, 3, "ping")
    assert old.producer.is_aborted
    await found.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "event: endpoint\ndata: https://mcp.test/messages\n\n",
        "event: endpoint\ndata: //other.test/messages\n\n",
        "event: endpoint\ndata: http://[/\n\n",
        "event: endpoint\ndata: http://user@mcp.test/\n\n",
    ],
)
@pytest.mark.requirement("mcp.ssrf")
async def test_the_credential_is_not_sent_to_another_origin(endpoint: str) -> None:
    server = Server(endpoint)
    with pytest.raises(UpstreamBroken, match="named an address"):
        await ask(transport(server), 1, "initialize")
    assert len(server.peer.requests) == 1
    await asyncio.sleep(0)
    assert server.stream.producer.is_aborted


async def test_a_stream_has_to_name_an_address() -> None:
    server = Server()
    server.stream = events("event: hello\ndata: x\n\n")
    with pytest.raises(UpstreamBroken, match="before it named"):
        await ask(transport(server), 1, "initialize")


@pytest.mark.parametrize("answer", [json({}, 405), json({}, 500)])
async def test_a_server_without_a_stream_refuses(answer: Answer) -> None:
    server = Server()
    server.stream = answer
    with pytest.raises(UpstreamRejected):
        await ask(transport(server), 1, "initialize")


@pytest.mark.parametrize("answer", [json({}), Answer(302, {"location": "/"})])
async def test_what_is_no_stream_is_a_failure(answer: Answer) -> None:
    server = Server()
    server.stream = answer
    with pytest.raises(UpstreamBroken):
        await ask(transport(server), 1, "initialize")


async def test_an_answer_has_a_deadline() -> None:
    with pytest.raises(UpstreamTimeout):
        await ask(transport(Server()), 1, "initialize", 0.01)


async def test_a_message_that_finds_no_session_ends_it() -> None:
    server = Server(initialize={})
    found = transport(server)
    await ask(found, 1, "initialize")
    server.status = 404
    with pytest.raises(SessionLost):
        await ask(found, 2, "ping")
    await asyncio.sleep(0)
    assert server.stream.producer.is_aborted


async def test_a_message_that_is_refused_is_a_failure() -> None:
    server = Server(initialize={})
    found = transport(server)
    await ask(found, 1, "initialize")
    server.status = 400
    with pytest.raises(UpstreamRejected):
        await found.post(notification("a"), headers={}, deadline=1e9)
    await found.close()
