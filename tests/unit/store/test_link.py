from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import AuthenticationError, NoScriptError, ResponseError

from pointsman.store.link import DOWN, SCRIPT, Link, ScriptLink, _how
from pointsman.store.settings import RedisSettings
from pointsman.wire.secret import Secret

ANSWER = msgspec.msgpack.encode([1, 2])
FOUND = b"$%d\r\n%s\r\n" % (len(ANSWER), ANSWER)


class Server:
    """Answers commands by their first word, and keeps them."""

    def __init__(self) -> None:
        self.commands: list[list[bytes]] = []
        self.answers: dict[bytes, bytes] = {b"SCRIPT": b"$3\r\nabc\r\n", b"EVALSHA": FOUND, b"EVAL": FOUND}
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            self.commands.append(words)
            writer.write(self.answers.get(words[0], b"-ERR unknown command\r\n"))
        writer.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def port(server: Server) -> AsyncIterator[int]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


@pytest.fixture
async def link(port: int) -> AsyncIterator[ScriptLink]:
    made = ScriptLink(RedisSettings(port=port), 5.0)
    yield made
    await made.close()


def verbs(server: Server) -> list[bytes]:
    return [words[0] for words in server.commands]


async def test_the_script_is_sent_once_and_then_called_by_its_name(link: ScriptLink, server: Server) -> None:
    await link.open()
    for _ in range(2):
        assert await link.call(["a", "b"], b"message") == [1, 2]
    assert server.commands == [
        [b"SCRIPT", b"LOAD", SCRIPT.encode()],
        *[[b"EVALSHA", b"abc", b"2", b"a", b"b", b"message"]] * 2,
    ]


@pytest.mark.parametrize("refusal", [b"-NOPERM no permissions\r\n", b"-ERR unknown command\r\n"])
async def test_where_scripts_cannot_be_loaded_they_are_sent_in_full(
    link: ScriptLink, server: Server, refusal: bytes
) -> None:
    server.answers[b"SCRIPT"] = refusal
    await link.open()
    assert await link.call(["a"], b"message") == [1, 2]
    assert server.commands[1] == [b"EVAL", SCRIPT.encode(), b"1", b"a", b"message"]


async def test_a_server_that_has_forgotten_the_script_gets_it_in_full(link: ScriptLink, server: Server) -> None:
    await link.open()
    server.answers[b"EVALSHA"] = b"-NOSCRIPT No matching script.\r\n"
    for _ in range(2):
        assert await link.call([], b"") == [1, 2]
    assert verbs(server) == [b"SCRIPT", b"EVALSHA", b"EVAL", b"EVAL"]


async def test_a_link_is_opened_anew_with_another_number(link: ScriptLink, server: Server) -> None:
    for number in (1, 2):
        await link.open()
        assert (link.epoch, link.is_open) == (number, True)
    await link.close()
    await link.close()
    assert not link.is_open
    assert server.connections == 2


@pytest.mark.parametrize("answer", [b"", b"-ERR no\r\n", b"$1\r\n\xc1\r\n", b"$1"])
async def test_whatever_is_wrong_is_a_kind_of_down(port: int, server: Server, answer: bytes) -> None:
    link = ScriptLink(RedisSettings(port=port), 0.05)
    await link.open()
    server.answers[b"EVALSHA"] = answer
    with pytest.raises(DOWN):
        await link.call([], b"")
    await link.close()


async def test_nobody_there_is_a_kind_of_down() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        link = ScriptLink(RedisSettings(port=held.getsockname()[1]), 0.05)
        with pytest.raises(DOWN):
            await link.open()
        await link.close()


async def test_a_link_without_the_script_asks_whatever_it_is_told(port: int, server: Server) -> None:
    link = Link(RedisSettings(port=port), 5.0)
    await link.open()
    server.answers |= {b"GET": b"$2\r\nab\r\n", b"SET": b"-OOM no room\r\n"}
    assert await link.ask("GET", "a") == b"ab"
    with pytest.raises(ResponseError, match="no room"):
        await link.ask("SET", "a", b"\xff", "PX", 9)
    assert await link.ask("GET", "a") == b"ab"
    await link.close()
    assert server.commands[1] == [b"SET", b"a", b"\xff", b"PX", b"9"]
    assert server.connections == 1


async def test_a_late_answer_is_a_kind_of_down(port: int, server: Server) -> None:
    link = Link(RedisSettings(port=port), 0.01)
    await link.open()
    server.answers[b"GET"] = b""
    with pytest.raises(DOWN):
        await link.ask("GET", "a")
    await link.close()


def test_errors_of_the_library_are_kinds_of_down() -> None:
    assert all(issubclass(kind, DOWN) for kind in (AuthenticationError, NoScriptError, ResponseError))


def test_a_connection_is_made_as_the_settings_say() -> None:
    plain = RedisSettings(host="there", port=7, password=Secret("word"), username="me", db=3)
    kind, arguments = _how(plain)
    assert kind is Connection
    assert arguments.items() >= {"host": "there", "port": 7, "password": "word", "username": "me", "db": 3}.items()
    assert _how(RedisSettings(is_tls=True))[0] is SSLConnection
    kind, arguments = _how(RedisSettings(url=Secret("rediss://:word@there:7/3"), host="elsewhere"))
    assert kind is SSLConnection
    assert arguments.items() >= {"host": "there", "port": 7, "password": "word", "db": 3, "protocol": 2}.items()
