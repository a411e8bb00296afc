from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pointsman.cli.asking import NoAnswer, Reply, ask


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked; fails where it is asked to."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str | None, Any]] = []  # noqa: RUF012 - a fixture empties it

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, self.headers["authorization"], body))
        question = body["messages"][0]["content"]
        answer: Any = {
            "choices": [{"message": {"content": f"You said {question}"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
        if question == "nonsense":
            answer = {"choices": []}
        elif question == "bare":
            answer = {"choices": [{"message": {"content": None}}]}
        text = json.dumps(answer).encode()
        self.send_response(500 if question == "fail" else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "*")
    Handler.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_question_has_its_answer_in_its_place(address: str) -> None:
    told: list[None] = []
    questions = [f"q{number}" for number in range(9)]
    replies = ask(address, "sk-1", "small", questions, lambda: told.append(None))
    assert replies == [Reply(f"You said {question}", 3, 5) for question in questions]
    assert len(told) == 9
    path, key, body = Handler.asked[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer sk-1", "small")


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_an_address_may_end_in_the_version_or_not(address: str, path: str) -> None:
    ask(address + path, None, "small", ["Hi"])
    assert Handler.asked[-1][:2] == ("/v1/chat/completions", None)


def test_what_is_not_answered_says_why_and_the_others_are(address: str) -> None:
    failed, nonsense, bare, fine = ask(address, None, "small", ["fail", "nonsense", "bare", "Hi"])
    assert isinstance(failed, NoAnswer)
    assert str(failed) == "status 500"
    assert isinstance(nonsense, NoAnswer)
    assert bare == Reply("")
    assert fine == Reply("You said Hi", 3, 5)


def test_nobody_at_the_address_is_no_answer() -> None:
    [reply] = ask("http://127.0.0.1:1", None, "small", ["Hi"])
    assert isinstance(reply, NoAnswer)


@pytest.mark.parametrize("address", ["localhost:4000", "ftp://x", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(NoAnswer, match="http or https address"):
        ask(address, None, "small", ["Hi"])
