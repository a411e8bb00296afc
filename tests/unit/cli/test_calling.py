from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from unit.cli.answering import answering
from unit.cli.scripting import Answers, scripted

from pointsman.cli.calling import KEY_VARIABLES, NotDone, master_key, post, reaching
from pointsman.cli.state import KEY_FILE


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(tmp_path))
    return tmp_path


def test_the_gateway_is_given_key_and_body_and_its_json_is_returned() -> None:
    with answering(200, b'{"status": "success"}') as gateway:
        assert post(gateway.url + "/base/", "/config/rollback", "sk-1", {"a": 1}) == {"status": "success"}
    assert gateway.asked == [("/base/config/rollback", "Bearer sk-1", b'{"a":1}')]


def test_without_a_key_none_is_sent() -> None:
    with answering(200, b"{}") as gateway:
        post(gateway.url, "/p", None, {})
    assert gateway.asked == [("/p", None, b"{}")]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": {"message": "Invalid API key"}}', "status 401: Invalid API key"),
        (404, b'{"detail": "Key not found"}', "status 404: Key not found"),
        (500, b"<html>", "status 500: no reason given"),
        (500, b"[]", "status 500: no reason given"),
        (200, b"<html>", "cannot ask"),
    ],
)
def test_a_refusal_tells_why(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as gateway, pytest.raises(NotDone, match=said):
        post(gateway.url, "/p", None, {})


def test_a_gateway_that_is_not_there_is_said() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(NotDone, match="cannot ask"):
            post(f"http://127.0.0.1:{closed.getsockname()[1]}", "/p", None, {})


@pytest.mark.parametrize("url", ["127.0.0.1:4000", "ftp://x", ""])
def test_it_is_asked_at_an_address(url: str) -> None:
    with pytest.raises(NotDone, match="http or https address"):
        post(url, "/p", None, {})


def test_the_key_that_is_given_goes_first_then_the_environments_then_the_one_that_was_made(
    no_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert master_key(None) is None
    (no_key / KEY_FILE).write_text("sk-made\n")
    assert master_key(None) == "sk-made"
    monkeypatch.setenv("LITELLM_MASTER_KEY", "auto")
    assert master_key(None) == "sk-made"
    monkeypatch.setenv("LITELLM_MASTER_KEY", "sk-litellm")
    assert master_key(None) == "sk-litellm"
    monkeypatch.setenv("POINTSMAN_MASTER_KEY", "sk-ours")
    assert master_key(None) == "sk-ours"
    assert master_key("sk-given") == "sk-given"


async def test_a_gateway_can_be_asked_several_times() -> None:
    answers: Answers = {"GET /base/a": [(200, {"a": 1})], "POST /base/a": [(200, {"a": 2})], "POST /base/f": [(200, 3)]}

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    with scripted(answers) as gateway:
        async with reaching(f"{gateway.url}/base", "sk-1") as reached:
            assert await reached.ask("GET", "/a") == {"a": 1}
            assert await reached.ask("POST", "/a", {"b": 1}) == {"a": 2}
            assert await reached.send("/f", "text/plain", body(), 6) == 3
    assert gateway.asked == [("GET /base/a", b""), ("POST /base/a", b'{"b":1}'), ("POST /base/f", b"onetwo")]


async def test_what_is_fetched_comes_piece_by_piece() -> None:
    data = b"x" * 3_000_000
    pieces: list[bytes] = []
    with scripted({"GET /f": [(200, data), (404, {"error": {"message": "none"}})]}) as gateway:
        async with reaching(gateway.url, None) as reached:
            await reached.fetch("/f", pieces.append)
            with pytest.raises(NotDone, match="status 404: none") as raised:
                await reached.fetch("/f", pieces.append)
    assert (b"".join(pieces), raised.value.status) == (data, 404)
    assert len(pieces) > 1
