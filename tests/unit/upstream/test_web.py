from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from pointsman.errors import UpstreamBroken, UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.guard import Guard
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import UpstreamSettings
from pointsman.upstream.web import MAX_BYTES, Answer, PoolWeb
from pointsman.wire.oauth import Token

Serve = Callable[[bytes], Awaitable[str]]


class Site:
    """A server that keeps what comes, and answers all of it the same."""

    def __init__(self) -> None:
        self.reply = b""
        self.seen: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        self.seen.append(head + await reader.readexactly(length))
        writer.write(self.reply)
        writer.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@pytest.fixture
async def pools() -> AsyncIterator[tuple[Pool, Pool]]:
    """One that calls whatever is named, and one that is guarded."""
    sweeper = Sweeper(asyncio.get_running_loop(), 0.02)
    sweeper.start()
    made = Pool(UpstreamSettings(), sweeper), Pool(UpstreamSettings(), sweeper, guard=Guard())
    yield made
    for one in made:
        await one.close()
    sweeper.stop()


def reply(body: bytes, status: str = "200 OK", lines: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status.encode(), len(body), lines, body)


async def test_it_is_asked_in_the_forms_of_the_protocol_and_keeps_no_connection(
    site: Site, pools: tuple[Pool, Pool]
) -> None:
    web = PoolWeb(lambda _: pools[0])
    site.reply = reply(b'{"a": 1}', lines=b"ETag: 1\r\netag: 2\r\n")
    found = await web.get(f"{site.url}/x?y=z", {"If-None-Match": "0", "Accept": "text/plain"})
    assert found.read(dict[str, int]) == {"a": 1}
    assert found.headers["etag"] == "1"
    assert (await web.post_form(site.url, {"a": "b c"}, {"authorization": "Basic x"})).status == 200
    assert (await web.post_json(f"{site.url}/r", {"a": [1]})).asked == site.url
    first, second, third = site.seen
    assert first.startswith(b"GET /x?y=z HTTP/1.1\r\n")
    assert b"\r\naccept: text/plain\r\nif-none-match: 0\r\n" in first
    assert second.startswith(b"POST / HTTP/1.1\r\n")
    assert b"content-type: application/x-www-form-urlencoded\r\nauthorization: Basic x\r\n" in second
    assert second.endswith(b"\r\n\r\na=b+c")
    assert third.endswith(b'\r\n\r\n{"a":[1]}')
    assert list(pools[0].hosts()) == [] or all(host.idle_connections == 0 for host in pools[0].hosts())


@pytest.mark.requirement("mcp.ssrf")
async def test_it_goes_nowhere_else_than_it_may(site: Site, pools: tuple[Pool, Pool]) -> None:
    site.reply = reply(b"", "302 Found", b"location: http://169.254.169.254/\r\n")
    found = await PoolWeb(lambda _: pools[0]).get(site.url)
    assert isinstance(found.refusal(), UpstreamRejected)
    assert len(site.seen) == 1
    with pytest.raises(UpstreamUnreachable):
        await PoolWeb(lambda _: pools[1]).get(site.url)
    for url in ("file:///etc/passwd", "http://user:pass@127.0.0.1/", "https://[::", "http://ex ample/"):
        with pytest.raises(UpstreamUnreachable):
            await PoolWeb(lambda _: pools[0]).get(url)
    assert len(site.seen) == 1


async def test_an_answer_that_is_cut_or_too_long_is_none(site: Site, pools: tuple[Pool, Pool]) -> None:
    web = PoolWeb(lambda _: pools[0])
    site.reply = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"
    with pytest.raises(UpstreamUnreachable):
        await web.get(site.url)
    site.reply = reply(b"x" * (MAX_BYTES + 1))
    with pytest.raises(UpstreamUnreachable):
        await web.get(site.url)
    assert len((await PoolWeb(lambda _: pools[0], MAX_BYTES + 1).get(site.url)).body) == MAX_BYTES + 1


async def test_of_what_is_posted_the_status_comes_back(site: Site, pools: tuple[Pool, Pool]) -> None:
    site.reply = reply(b"x" * (MAX_BYTES + 1), "202 Accepted")
    headers = {"content-type": "application/a2a+json", "authorization": "Bearer key"}
    assert await PoolWeb(lambda _: pools[0]).post(site.url + "/hook?x=1", b"{}", headers) == 202
    (seen,) = site.seen
    assert seen.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert b"content-type: application/a2a+json\r\n" in seen
    assert b"authorization: Bearer key\r\n" in seen
    assert seen.endswith(b"\r\n\r\n{}")
    site.reply = reply(b"", "302 Found", b"location: /elsewhere\r\n")
    assert await PoolWeb(lambda _: pools[0]).post(site.url, b"{}", headers) == 302
    assert len(site.seen) == 2, "redirects are not followed"
    with pytest.raises(UpstreamUnreachable):
        await PoolWeb(lambda _: pools[1]).post(site.url, b"{}", headers)


def answer(status: int = 200, body: bytes = b"") -> Answer:
    return Answer("https://as.test", status, body)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"access_token": 1}'])
def test_a_body_is_what_it_has_to_be(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        answer(body=body).read(Token)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"error": "invalid_grant"}', "invalid_grant"),
        (b'{"error": "a\\nb"}', ""),
        (b'{"error": {"code": 1}}', ""),
        (b"<html>", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_of_a_refusal_a_word_is_told_at_most(body: bytes, word: str) -> None:
    assert answer(400, body).error() == word
    found = answer(400, body).refusal()
    assert isinstance(found, UpstreamRejected)
    assert word in found.message
    assert "https" not in found.message


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_who_cannot_answer_now_may_do_so_later(status: int) -> None:
    found = answer(status).refusal()
    assert isinstance(found, UpstreamUnreachable)
    assert found.is_retryable
