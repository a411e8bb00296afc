"""The real LiteLLM, in an environment of its own: the lock of the extra, and nothing of the developer's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import BadRequestError, OpenAI, RateLimitError
from system.process import Gateway
from system.test_node import missing
from system.upstream.answers import TEXT, VECTOR, WORDS, chat_events
from system.upstream.script import End, error_answer, stream_answer
from system.upstream.server import FakeUpstream

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "litellm.txt"
HOME = ROOT / ".venv" / "litellm"
INSTALL_SECONDS = 300
KEY = "sk-master-canary-77aa"
UPSTREAM_KEY = "sk-upstream-canary-88bb"
CONFIG = """
model_list:
  - model_name: tail
    litellm_params: {{model: litellm/openai/gpt-4o, api_base: "{base}", api_key: {key}}}
  - model_name: tail/*
    litellm_params: {{model: litellm/openai/*, api_base: "{base}", api_key: {key}, num_retries: 0}}
  - model_name: tail-vectors
    litellm_params: {{model: litellm/openai/text-embedding-3-small, api_base: "{base}", api_key: {key}}}
  - model_name: replicate
    litellm_params: {{model: replicate/meta/llama, api_key: {key}}}
router_settings:
  num_retries: 0
general_settings:
  master_key: {master}
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter that has the extra."""
    lock, stamp, python = LOCK.read_text(), HOME / ".installed-lock", HOME / "bin" / "python"
    if stamp.exists() and stamp.read_text() == lock:
        return python
    uv = str(Path(sys.executable).with_name("uv"))
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(LOCK)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            missing(f"the litellm extra could not be installed: {error}")
        if done.returncode:
            missing(f"the litellm extra could not be installed: {done.stderr[-500:]}")
    stamp.write_text(lock)
    return python


@pytest.fixture(scope="module")
def gateway(python: Path, upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(base=upstream.base_url, key=UPSTREAM_KEY, master=KEY)
    program = (str(python), "-m", "pointsman")
    source = {"PYTHONPATH": str(ROOT / "src")}
    with Gateway(tmp_path_factory.mktemp("litellm"), config, env=source, program=program) as running:
        running.key = KEY
        # The import takes seconds; here it is nobody's first request.
        assert running.post("/v1/embeddings", {"model": "tail-vectors", "input": "warm"}).status == 200
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.mark.requirement("litellm.wire")
def test_a_whole_chat_comes_through_litellm(client: OpenAI, upstream: FakeUpstream) -> None:
    answer = client.chat.completions.create(
        model="tail", messages=[{"role": "user", "content": "hi"}], temperature=0.5, metadata={"a": "b"}
    )
    assert answer.model == "tail"
    assert answer.choices[0].message.content == TEXT
    assert answer.usage is not None
    assert answer.usage.total_tokens == 17
    got = upstream.request("gpt-4o")
    assert got.json == {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}
    assert got.header("authorization") == f"Bearer {UPSTREAM_KEY}"


@pytest.mark.requirement("litellm.wire")
def test_a_stream_comes_through_litellm(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="tail",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        *chunks, last = list(stream)
    assert {chunk.model for chunk in chunks} == {"tail"}
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert texts == list(WORDS)
    assert last.usage is not None
    assert last.usage.total_tokens == 17


@pytest.mark.requirement("litellm.wire")
def test_completions_and_embeddings_come_through_litellm(client: OpenAI) -> None:
    assert client.completions.create(model="tail", prompt="hi").choices[0].text == TEXT
    vectors = client.embeddings.create(model="tail-vectors", input="hi", encoding_format="float")
    assert vectors.data[0].embedding == list(VECTOR)


@pytest.mark.requirement("litellm.wire")
def test_other_dialects_are_translated_before_it(gateway: Gateway) -> None:
    body = {"model": "tail", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post("/v1/messages", body).json["content"][0]["text"] == TEXT


@pytest.mark.requirement("litellm.errors")
def test_an_error_of_the_provider_keeps_its_status(client: OpenAI, upstream: FakeUpstream) -> None:
    limited = error_answer(429, "Slow down", kind="requests", code="rate_limit_exceeded")
    upstream.answers("limited", limited)
    with pytest.raises(RateLimitError) as caught:
        client.chat.completions.create(model="tail/limited", messages=[{"role": "user", "content": "hi"}])
    assert "Slow down" in str(caught.value)
    assert len(upstream.requests("limited")) == 1


@pytest.mark.requirement("litellm.errors")
def test_a_stream_that_is_cut_ends_with_an_error(gateway: Gateway, upstream: FakeUpstream) -> None:
    upstream.answers("cut", stream_answer(*chat_events("cut", usage=False)[:3], End.CUT))
    body = {"model": "tail/cut", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    *_, last = gateway.post("/v1/chat/completions", body).events
    assert last["error"]["code"] == "upstream_broken"


@pytest.mark.requirement("litellm.body")
def test_what_would_steer_litellm_is_refused(client: OpenAI, upstream: FakeUpstream) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(
            model="tail/steered",
            messages=[{"role": "user", "content": "hi"}],
            extra_body={"api_base": upstream.base_url},
        )
    assert caught.value.param == "api_base"
    assert upstream.requests("steered") == []


@pytest.mark.requirement("litellm.cancel")
def test_who_leaves_ends_it_at_the_provider(client: OpenAI, upstream: FakeUpstream) -> None:
    gate = upstream.gate()
    upstream.answers("left", stream_answer(*chat_events("left", usage=False)[:2], gate))
    stream = client.chat.completions.create(
        model="tail/left", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    next(iter(stream))
    stream.close()
    assert upstream.request("left").closed.wait(20)
    gate.open()


@pytest.mark.requirement("litellm.loop")
def test_many_at_a_time_are_all_answered(gateway: Gateway) -> None:
    statuses: list[int] = []
    body = {"model": "tail", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    def ask() -> None:
        reply = gateway.post("/v1/chat/completions", body)
        statuses.append(reply.status if reply.body.endswith(b"[DONE]\n\n") else 0)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20


@pytest.mark.requirement("litellm.secrets")
def test_the_key_shows_nowhere(gateway: Gateway, upstream: FakeUpstream) -> None:
    upstream.answers("quoting", error_answer(400, f"Bad key {UPSTREAM_KEY}", kind="invalid_request_error"))
    body = {"model": "tail/quoting", "messages": [{"role": "user", "content": "hi"}]}
    reply = gateway.post("/v1/chat/completions", body)
    assert reply.status == 400
    assert UPSTREAM_KEY not in reply.body.decode()
    assert UPSTREAM_KEY not in gateway.stderr + gateway.stdout


@pytest.mark.requirement("litellm.missing")
def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(base="http://127.0.0.1:9/v1", key=UPSTREAM_KEY, master=KEY))
    done = subprocess.run(
        [sys.executable, "-m", "pointsman", "check", str(config)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "'replicate' is served by the litellm extra, and it is not installed" in done.stdout + done.stderr
    assert "pip install 'pointsman[litellm]'" in done.stdout + done.stderr
