from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.process import Gateway, Reply
from system.upstream.answers import chat_events
from system.upstream.script import JSON_TYPE, Answer, End, error_answer, event, json_answer, stream_answer
from system.upstream.server import FakeUpstream

MASTER = "master-Canary-5d1c"
CREDENTIAL = "upstream-Canary-77e2"
HEADER_SECRET = "header-Canary-0b9f"
PROXY_SECRET = "proxy-Canary-c3a8"
STRANGER = "stranger-Canary-e611"
CANARIES = (MASTER, CREDENTIAL, HEADER_SECRET, PROXY_SECRET, STRANGER)
CONFIG = """
model_list:
  - model_name: "*"
    litellm_params:
      model: openai/*
      api_base: "{base}"
      api_key: {credential}
      extra_headers: {{x-tenant-token: {header}}}
  - model_name: down
    litellm_params: {{model: openai/down, api_base: "http://127.0.0.1:{closed}/v1", api_key: {credential}}}
  - model_name: lost
    litellm_params: {{model: openai/lost, api_base: "http://lost-canary.invalid/v1", api_key: {credential}}}
general_settings:
  master_key: {master}
"""
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def guarded(upstream: FakeUpstream, closed_port: int, tmp_path: Path) -> Iterator[Gateway]:
    config = CONFIG.format(
        base=upstream.base_url, credential=CREDENTIAL, header=HEADER_SECRET, master=MASTER, closed=closed_port
    )
    env = {"HTTPS_PROXY": f"http://user:{PROXY_SECRET}@127.0.0.1:{closed_port}"}
    with Gateway(tmp_path, config, env=env) as running:
        running.key = MASTER
        yield running


def leaky_answers(address: str) -> dict[str, Answer]:
    text = f"Incorrect key {CREDENTIAL} (token {HEADER_SECRET}) at http://{address}/v1, host {address}"
    error = {"message": text, "type": "t", "param": None, "code": None}
    begun = chat_events("leaky", usage=False)[:3]
    failed = {
        "type": "response.failed",
        "sequence_number": 1,
        "response": {"id": "r", "object": "response", "status": "failed", "error": {"code": "x", "message": text}},
    }
    return {
        **{f"leak-{n}": error_answer(n, text, kind="auth") for n in (400, 401, 403, 404, 407, 422, 429, 500, 503)},
        "leak-labels": error_answer(400, "x", kind=f"{CREDENTIAL}", code=f"at {address}", param=HEADER_SECRET),
        "leak-detail": json_answer({"detail": text}, 400),
        "leak-html": Answer(500, (("content-type", "text/html"),), (f"<html>{text}</html>".encode(),)),
        "leak-text": Answer(400, (("content-type", "text/plain"),), (text.encode(),)),
        "leak-header": error_answer(
            401,
            "x",
            kind="auth",
            headers=(
                ("www-authenticate", f"Bearer {CREDENTIAL}"),
                ("location", f"http://{address}/"),
                ("via", address),
            ),
        ),
        "leak-redirect": Answer(302, (("location", f"http://{address}/?key={CREDENTIAL}"),), ()),
        "leak-in-200": json_answer({"error": error}),
        "leak-early-event": stream_answer(event({"error": error})),
        "leak-late-event": stream_answer(*begun, event({"error": error})),
        "leak-late-named-event": stream_answer(*begun, event({"error": error}, "error"), End.CUT),
        "leak-response-failed": stream_answer(
            event({"type": "response.created", "sequence_number": 0, "response": {"id": "r"}}, "response.created"),
            event(failed, "response.failed"),
        ),
        "leak-not-json": Answer(200, (JSON_TYPE,), (text.encode(),)),
        "leak-cut": Answer(200, (JSON_TYPE, ("content-length", "999")), (b"{", End.CUT)),
        "leak-not-http": Answer(framing="raw", steps=(text.encode() + b"\r\n\r\n", End.CUT)),
    }


def provoke(gateway: Gateway, upstream: FakeUpstream) -> dict[str, Reply]:
    """Every failure there is; errors that fail to come would make this prove nothing."""
    replies: dict[str, Reply] = {}
    for name, answer in leaky_answers(upstream.address).items():
        upstream.answers(name, answer)
        for stream in (False, True):
            body = {"model": name, "messages": HELLO, "input": "x", "stream": stream}
            path = "/v1/responses" if "response" in name else "/v1/chat/completions"
            replies[f"{name} {stream}"] = gateway.post(path, body)
    for name in ("down", "lost"):
        replies[name] = gateway.post("/v1/chat/completions", {"model": name, "messages": HELLO})
    replies["stranger"] = gateway.get(f"/v1/models?key={STRANGER}", key=STRANGER)
    replies["path"] = gateway.get(f"/{STRANGER}", key=STRANGER)
    replies["broken"] = gateway.post("/v1/chat/completions", f'{{"api_key": "{STRANGER}'.encode())
    replies["refused"] = gateway.raw(f"GET / HTTP/1.1\r\nHost : a\r\nAuthorization: Bearer {STRANGER}\r\n\r\n".encode())
    return replies


@pytest.mark.requirement("errors.no-secrets")
def test_nothing_that_comes_out_of_the_gateway_holds_a_credential(guarded: Gateway, upstream: FakeUpstream) -> None:
    replies = provoke(guarded, upstream)
    for path in ("/metrics", "/model/info", "/health", "/v1/models", "/health/readiness"):
        replies[path] = guarded.get(path)
    shown = {name: reply.raw.decode("latin-1") for name, reply in replies.items()}
    shown |= {"stdout": guarded.stdout, "stderr": guarded.stderr}
    # The path that a caller made up is told to that caller; it is his own.
    shown["path"] = shown["path"].replace(f"/{STRANGER}", "")
    found = [f"{name}: {canary}" for name, text in shown.items() for canary in CANARIES if canary in text]
    assert not found, "\n".join(found)


@pytest.mark.requirement("errors.no-secrets")
def test_no_error_and_no_metric_tells_where_the_upstream_is(
    guarded: Gateway, upstream: FakeUpstream, closed_port: int
) -> None:
    replies = provoke(guarded, upstream) | {"/metrics": guarded.get("/metrics")}
    places = (f":{upstream.port}", f":{closed_port}", "lost-canary")
    found = [
        f"{name}: {place}"
        for name, reply in replies.items()
        for place in places
        # A stream that had begun well names its upstream to the master key, as the header that is meant for it.
        if place in (reply.body if reply.status == 200 else reply.raw).decode("latin-1")
    ]
    assert not found, "\n".join(found)


@pytest.mark.requirement("errors.no-secrets")
def test_the_configs_secrets_are_not_in_the_processes_command_line(guarded: Gateway) -> None:
    command = Path(f"/proc/{guarded.process.pid}/cmdline").read_bytes().decode()
    assert not [canary for canary in CANARIES if canary in command]
