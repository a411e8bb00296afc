"""Agents as models and as tools, and a model as an agent: the SDKs of OpenAI, Anthropic and A2A before the gateway."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import anthropic
import httpx
import openai
import pytest
from a2a.client import ClientConfig, create_client
from a2a.types import GetTaskRequest, ListTasksRequest, Message, Part, Role, SendMessageRequest, TaskState
from openai import OpenAI
from system.a2a.scripted import ScriptedAgent
from system.conftest import MASTER_KEY
from system.mcp.installing import FOLDER, venv
from system.process import Gateway

QUESTION: Any = [{"role": "user", "content": "When does it leave?"}]
DEMO = "built-in demo model"


@pytest.fixture(scope="module")
def agent() -> Iterator[ScriptedAgent]:
    with ScriptedAgent() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(agent: ScriptedAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    document = {
        "agents": [
            {"agent_id": "trains", "name": "Trains", "description": "Knows trains", "url": agent.origin},
            {"agent_id": "house", "name": "House", "model": "demo/small", "allow_all_keys": True},
        ],
        "a2a": {"as_mcp_tools": True},
        "model_list": [{"model_name": "demo/*", "litellm_params": {"model": "demo/*"}}],
        "general_settings": {"master_key": MASTER_KEY},
    }
    with Gateway(tmp_path_factory.mktemp("bridges"), json.dumps(document)) as running:
        running.key = MASTER_KEY
        yield running


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as client:
        yield client


@pytest.mark.requirement("a2a.chat")
def test_the_sdk_of_openai_asks_an_agent_and_goes_on_with_its_context(agent: ScriptedAgent, sdk: OpenAI) -> None:
    first = sdk.chat.completions.create(model="a2a/trains", messages=QUESTION)
    assert first.choices[0].finish_reason == "stop"
    told: Any = first.to_dict()["metadata"]
    assert told["a2a_state"] == "completed"
    again = [*QUESTION, {"role": "assistant", "content": "At 8:15"}, {"role": "user", "content": "And then?"}]
    sdk.chat.completions.create(model="a2a/trains", messages=again, metadata={"a2a_context_id": told["a2a_context_id"]})
    sent = agent.heard[-1][1]["message"]
    assert (sent["parts"], sent["contextId"]) == ([{"text": "And then?"}], told["a2a_context_id"])


@pytest.mark.requirement("a2a.chat")
def test_the_sdk_of_openai_hears_what_an_agent_says_while_it_says_it(agent: ScriptedAgent, sdk: OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="a2a/trains", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert agent.heard[-1][0] == "SendStreamingMessage"
    assert [one.choices[0].finish_reason for one in chunks if one.choices][-1] == "stop"
    assert chunks[-1].usage is not None


@pytest.mark.requirement("a2a.chat")
def test_other_apis_ask_agents_too(gateway: Gateway, sdk: OpenAI) -> None:
    assert sdk.responses.create(model="a2a/house", input="hi").output_text.count(DEMO) == 1
    asked: Any = {"model": "a2a/house", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    with (
        anthropic.Anthropic(base_url=gateway.base_url, api_key=MASTER_KEY, max_retries=0) as claude,
        claude.messages.stream(**asked) as stream,
    ):
        assert DEMO in stream.get_final_text()


@pytest.mark.requirement("a2a.chat")
def test_a_task_that_fails_is_a_502(agent: ScriptedAgent, sdk: OpenAI) -> None:
    def fail(request: BaseHTTPRequestHandler, message: Any) -> None:
        status = {
            "state": "TASK_STATE_FAILED",
            "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "No luck"}]},
        }
        agent.result(request, message, {"task": {"id": "f", "contextId": "f", "status": status}})

    agent.acts["SendMessage"] = fail
    try:
        with pytest.raises(openai.APIStatusError) as error:
            sdk.chat.completions.create(model="a2a/trains", messages=QUESTION)
    finally:
        del agent.acts["SendMessage"]
    assert error.value.status_code == 502
    assert "No luck" in error.value.message
    assert agent.origin not in error.value.message


@pytest.mark.requirement("a2a.chat", "a2a.as-tools")
def test_a_key_asks_the_agents_that_it_was_granted_whatever_it_calls_them(gateway: Gateway) -> None:
    grants: list[dict[str, Any]] = [{}, {"agents": ["trains"], "mcp_servers": ["agents"]}]
    plain, granted = [gateway.post("/key/generate", {"object_permission": one}).json["key"] for one in grants]
    for key, models in ((plain, ["a2a/house"]), (granted, ["a2a/trains", "a2a/house"])):
        listed = [one["id"] for one in gateway.get("/v1/models", key=key).json["data"]]
        assert [one for one in listed if one.startswith("a2a/")] == models
        body = {"model": "a2a/trains", "messages": QUESTION}
        status = gateway.post("/v1/chat/completions", body, key=key).status
        assert status == (200 if "a2a/trains" in models else 404)
    tools = [[one["name"] for one in gateway.get("/mcp/tools", key=key).json["tools"]] for key in (plain, granted)]
    assert tools == [[], ["agents__find_agents", "agents__a2a_trains", "agents__a2a_house"]]


@pytest.mark.requirement("a2a.published-models")
def test_a_model_that_is_published_is_the_operators_whatever_its_caller_calls_so(gateway: Gateway) -> None:
    key = gateway.post("/key/generate", {"aliases": {"demo/small": "a2a/house"}}).json["key"]
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    found = gateway.post("/a2a/agents/house", asked, key=key).json
    assert DEMO in found["result"]["message"]["parts"][0]["text"]
    loop = {"agent_id": "loop", "name": "Loop", "model": "a2a/loop"}
    assert gateway.post("/a2a/agents", loop).status == 400


@pytest.mark.requirement("a2a.as-tools")
@pytest.mark.parametrize("sdk", ["sdk-1", "sdk-2"])
def test_the_sdks_of_mcp_find_an_agent_and_ask_it(gateway: Gateway, agent: ScriptedAgent, sdk: str) -> None:
    calls = {
        "found": ["find_agents", {"query": "trains"}],
        "asked": ["a2a_trains", {"message": f"When, {sdk}?"}],
        "house": ["a2a_house", {"message": "hi"}],
    }
    script = FOLDER / "clients" / f"official_{sdk.replace('-', '_')}.py"
    line = [str(venv(sdk)), str(script), f"{gateway.base_url}/mcp/agents", MASTER_KEY, json.dumps(calls)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["listed"] == ["find_agents", "a2a_trains", "a2a_house"]
    assert [one["tool"] for one in json.loads(seen["called"]["found"])] == ["a2a_trains"]
    assert DEMO in seen["called"]["house"]
    assert agent.heard[-1][1]["message"]["parts"] == [{"text": f"When, {sdk}?"}]


@pytest.mark.requirement("a2a.published-models")
@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON"])
async def test_the_sdk_of_a2a_uses_a_model_as_an_agent(gateway: Gateway, binding: str) -> None:
    http = httpx.AsyncClient(headers={"authorization": f"Bearer {MASTER_KEY}"}, timeout=20, trust_env=False)
    async with http:
        client = await create_client(
            f"{gateway.base_url}/a2a/agents/house",
            ClientConfig(httpx_client=http, streaming=True, supported_protocol_bindings=[binding]),
        )
        asked = Message(message_id="m", role=Role.ROLE_USER, parts=[Part(text="Tell me a story")])
        events = [event async for event in client.send_message(SendMessageRequest(message=asked))]
        text = "".join(part.text for one in events for part in one.artifact_update.artifact.parts)
        assert DEMO in text
        assert events[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        task = await client.get_task(GetTaskRequest(id=events[0].task.id))
        assert task.artifacts[0].parts[0].text == text
        listed = await client.list_tasks(ListTasksRequest())
        assert task.id in [one.id for one in listed.tasks]
