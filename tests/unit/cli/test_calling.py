from __future__ import annotations

import socket
from pathlib import Path

import pytest
from unit.cli.answering import answering

from pointsman.cli.calling import KEY_VARIABLES, NotDone, master_key, post
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
