from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from system.conftest import MASTER_KEY
from system.fakes.config import CHATS
from system.fakes.model import answer_text
from system.process import Gateway
from system.upstream.answers import SPEECH, TEXT, VECTOR, chat_events
from system.upstream.script import End, error_answer, stream_answer
from system.upstream.server import FakeUpstream

FOLDER = Path(__file__).parent / "node"
INSTALL_SECONDS = 240


def missing(reason: str) -> NoReturn:
    """Skip, unless this run promised that everything is there."""
    if os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the SDKs of the lock installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing("Node.js and npm are not installed")
    lock = (FOLDER / "package-lock.json").read_text()
    stamp = FOLDER / "node_modules" / ".installed-lock"
    if not stamp.exists() or stamp.read_text() != lock:
        try:
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=FOLDER,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            missing("npm ci did not end in time")
        if done.returncode:
            missing(f"npm ci failed: {done.stderr[-500:]}")
        stamp.write_text(lock)
    return node


@pytest.fixture(scope="module")
def results(node: str, gateway: Gateway, upstream: FakeUpstream) -> Mapping[str, Any]:
    limited = error_answer(429, "Slow down", kind="requests", code="rate_limit_exceeded")
    upstream.answers("node-limited", limited)
    upstream.answers("node-early", stream_answer(End.CUT))
    upstream.answers("node-late", stream_answer(*chat_events("node-late", usage=False)[:3], End.CUT))
    done = subprocess.run(
        [node, "endpoints.mjs", gateway.base_url, MASTER_KEY],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def translated(node: str, dialects: Gateway) -> Mapping[str, Any]:
    done = subprocess.run(
        [node, "dialects.mjs", dialects.base_url, MASTER_KEY, *CHATS],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def error(kind: str, status: int | None, code: str, param: str | None, type_: str) -> dict[str, Any]:
    return {"class": kind, "status": status, "code": code, "param": param, "type": type_, "hasRequestId": True}


EXPECTED: dict[str, Any] = {
    "chat": {"model": "house-chat", "text": TEXT, "hasRequestId": True},
    "chat_stream": {"models": ["house-chat"], "text": TEXT, "total": 17},
    "chat_tools": '{"city": "Bern"}',
    "structured_output": {"city": "Bern", "tracks": 12},
    "completions": [TEXT, TEXT],
    "responses": ["house-chat", TEXT],
    "responses_stream": {"first": "response.created", "last": "response.completed", "model": "house-chat"},
    "embeddings": [list(VECTOR), list(VECTOR), [2, 2]],
    "images": [1, 1, 1],
    "images_stream": ["image_generation.partial_image", "image_generation.completed"],
    "transcriptions": {
        "json": "Alle einsteigen",
        "srt": "1\n00:00:00,000 --> 00:00:01,500\nAlle einsteigen\n",
        "language": "german",
        "events": ["transcript.text.delta"] * 2 + ["transcript.text.done"],
    },
    "translations": "All aboard",
    "speech": {"type": "audio/mpeg", "bytes": len(SPEECH)},
    "moderations": [True, True],
    "models": [True, "house-chat"],
    "azure": "house-chat",
}
ERRORS: dict[str, Any] = {
    "unknown": error("NotFoundError", 404, "model_not_found", "model", "invalid_request_error"),
    "stranger": error("AuthenticationError", 401, "invalid_api_key", None, "authentication_error"),
    "shape": error("BadRequestError", 400, "", "messages", "invalid_request_error"),
    "limited": error("RateLimitError", 429, "rate_limit_exceeded", None, "requests"),
    "early": error("InternalServerError", 502, "upstream_broken", None, "upstream_error"),
    "late": error("APIError", None, "upstream_broken", None, "upstream_error"),
}


@pytest.mark.requirement(
    "chat.whole",
    "chat.stream",
    "chat.tools",
    "completions",
    "responses",
    "embeddings",
    "images.generations",
    "images.edits",
    "audio.transcriptions",
    "audio.translations",
    "audio.speech",
    "moderations",
    "models",
    "paths",
)
@pytest.mark.parametrize("endpoint", EXPECTED)
def test_the_node_sdk_drives_the_endpoint(results: Mapping[str, Any], endpoint: str) -> None:
    assert results[endpoint] == EXPECTED[endpoint]


@pytest.mark.requirement("rerank")
def test_the_node_sdk_can_post_to_rerank(results: Mapping[str, Any]) -> None:
    assert [result["document"]["text"] for result in results["rerank"]] == ["b", "a"]


@pytest.mark.requirement(
    "errors.sdk-classes", "errors.upstream-status", "errors.stream-early", "errors.stream-late", "keys.headers"
)
@pytest.mark.parametrize("case", ERRORS)
def test_the_node_sdk_raises_the_right_class(results: Mapping[str, Any], case: str) -> None:
    raised = results["errors"][case]
    # JavaScript tells absent from null; the promise is about what is there.
    assert {name: value for name, value in raised.items() if value is not None} == {
        name: value for name, value in ERRORS[case].items() if value is not None and value != ""
    }


FOG = "Weather: fog in Bern; fog in Basel; fog in Chur"
LIMITED = {
    "chat": {"class": "RateLimitError", "status": 429},
    "responses": {"class": "RateLimitError", "status": 429},
    "messages": {"class": "RateLimitError", "status": 429},
    "gemini": {"class": "ApiError", "status": 429},
}


@pytest.mark.requirement("dialects.plain", "dialects.tools", "dialects.reasoning", "dialects.errors")
@pytest.mark.parametrize("sdk", LIMITED)
@pytest.mark.parametrize("provider", CHATS)
def test_each_node_sdk_talks_with_each_provider(translated: Mapping[str, Any], sdk: str, provider: str) -> None:
    checks = ("plain", "stream", "tools", "error")
    found = {check: translated[f"{sdk} {provider} {check}"] for check in checks}
    assert found == {"plain": answer_text(), "stream": answer_text(), "tools": FOG, "error": LIMITED[sdk]}


def test_the_scripts_checks_are_all_looked_at(results: Mapping[str, Any]) -> None:
    assert set(results) == {*EXPECTED, "rerank", "errors"}


def test_the_lock_names_no_registry() -> None:
    text = (FOLDER / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "://" not in text
