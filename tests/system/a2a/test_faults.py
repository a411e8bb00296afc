"""What can go wrong with A2A agents and clients, each over the real gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from system.a2a.asking import Asker, as_key
from system.a2a.conftest import a2a_config
from system.a2a.scripted import Hook, ScriptedAgent
from system.conftest import MASTER_KEY
from system.process import Gateway
from system.running import free_port
from system.scripted import until

pytestmark = pytest.mark.requirement("a2a.faults")
Serve = Callable[..., Gateway]
Place = Callable[..., Asker]
NOT_FOUND = -32001


def entry(agent: ScriptedAgent, **more: Any) -> dict[str, Any]:
    """How it stands in a config."""
    return {"agent_id": "scripted", "name": "scripted", "url": agent.origin, "allow_all_keys": True, **more}


def last(events: list[Any]) -> str:
    """The state that a stream ended with."""
    update = events[-1].get("statusUpdate") or events[-1].get("task") or events[-1]
    return str(update["status"]["state"])


def texts(events: list[Any]) -> list[str]:
    """Of the artifacts of a stream."""
    return [one["artifactUpdate"]["artifact"]["parts"][0]["text"] for one in events if "artifactUpdate" in one]


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    with ScriptedAgent() as running:
        yield running
        running.goes_on.set()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts gateways with such agents, all with one data directory."""
    running: list[Gateway] = []

    def start(*agents: dict[str, Any], args: tuple[str, ...] = (), **settings: Any) -> Gateway:
        gateway = Gateway(tmp_path, a2a_config(agents, **settings), *args)
        gateway.key = MASTER_KEY
        running.append(gateway.__enter__())
        return gateway

    yield start
    for gateway in running:
        if gateway.process.poll() is None:
            gateway.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for all those who need nothing special of it."""
    with Gateway(tmp_path_factory.mktemp("shared"), a2a_config([])) as running:
        running.key = MASTER_KEY
        yield running


@pytest.fixture
def place(shared: Gateway, agent: ScriptedAgent) -> Place:
    """Registers the agent there."""

    def register(**more: Any) -> Asker:
        body = {"agent_id": f"scripted-{agent.port}", "url": agent.origin, "allow_all_keys": True, **more}
        made = shared.post("/a2a/agents", body)
        assert made.status == 200, made.body
        return Asker(shared, str(body["agent_id"]))

    return register


@pytest.fixture
def asker(place: Place) -> Asker:
    return place()


def test_an_agent_that_is_down_at_the_start_is_used_when_it_comes_up(agent: ScriptedAgent, serve: Serve) -> None:
    agent.stop()
    gateway = serve(entry(agent))
    asker = Asker(gateway, "scripted")
    assert asker.ask("send").code == -32603
    assert gateway.get("/a2a/agents/scripted/card").header("x-card-source") == "declared"
    agent.start()
    until(lambda: asker.ask("send").code is None)


def bad_cards() -> dict[str, Callable[[ScriptedAgent, BaseHTTPRequestHandler], None]]:
    """Ways to answer who wants a card."""
    return {
        "404": lambda agent, request: agent.reply(request, 404, b""),
        "500": lambda agent, request: agent.reply(request, 500, b"Traceback"),
        "html": lambda agent, request: agent.reply(request, 200, b"<html></html>", {"content-type": "text/html"}),
        "list": lambda agent, request: agent.reply(request, 200, b"[]"),
        "5 MB": lambda agent, request: agent.reply(request, 200, json.dumps({"name": "x" * 5_000_000}).encode()),
        "slow": lambda agent, request: agent.hang(request),
        "drop": lambda agent, request: agent.drop(request),
    }


@pytest.mark.parametrize("way", bad_cards())
def test_an_agent_whose_card_cannot_be_had_is_used_without(agent: ScriptedAgent, place: Place, way: str) -> None:
    agent.acts["card"] = lambda request, _: bad_cards()[way](agent, request)
    asker = place(description="As registered")
    assert asker.ask("send").code is None
    shown = asker.gateway.get(f"{asker.path}/card")
    assert shown.header("x-card-source") == "declared"
    assert shown.json["description"] == "As registered"


@pytest.mark.parametrize(("says", "speaks"), [("1.0", "0.3"), ("0.3", "1.0")])
@pytest.mark.parametrize("version", ["1.0", "0.3"])
def test_a_card_that_lies_about_the_version_is_seen_through(
    agent: ScriptedAgent, place: Place, says: Any, speaks: Any, version: Any
) -> None:
    card = ScriptedAgent(port=agent.port, version=says).card
    agent.version, agent.changes = speaks, card
    asker = replace(place(), version=version)
    done = "TASK_STATE_COMPLETED" if version == "1.0" else "completed"
    assert asker.ask("send").task["status"]["state"] == done
    assert last(asker.ask("stream").body) == done
    before = len(agent.heard)
    assert asker.ask("send").task["status"]["state"] == done
    assert len(agent.heard) == before + 1


def test_a_card_that_lies_about_the_address_is_not_followed(agent: ScriptedAgent, place: Place) -> None:
    with ScriptedAgent() as other:
        interface = {"url": f"{other.origin}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        agent.changes = {"supportedInterfaces": [interface]}
        asker = place(auth_type="bearer_token", auth={"token": "sk-not-for-others"})
        assert asker.ask("send").code is None
        assert (agent.calls("SendMessage"), other.heard, other.cards) == (1, [], 0)


@pytest.mark.parametrize("binding", ["jsonrpc", "JsonRpc", "JSON-RPC", "json_rpc"])
def test_a_binding_is_known_however_it_is_written(agent: ScriptedAgent, place: Place, binding: str) -> None:
    interface = {"url": f"{agent.origin}/", "protocolBinding": binding, "protocolVersion": "1.0"}
    agent.changes = {"supportedInterfaces": [interface]}
    assert place().ask("send").code is None


def test_a_stream_that_is_cut_in_an_event_is_taken_up_again(asker: Asker, agent: ScriptedAgent) -> None:
    agent.acts["SendStreamingMessage"] = agent.cut
    events = asker.ask("stream").body
    assert last(events) == "TASK_STATE_COMPLETED"
    assert texts(events) == ["half ", "all of it"]
    assert agent.calls("SubscribeToTask") == 1
    assert agent.calls("SendStreamingMessage") == 1


def test_a_stream_that_cannot_be_taken_up_ends_with_an_error(asker: Asker, agent: ScriptedAgent) -> None:
    agent.acts |= {"SendStreamingMessage": agent.cut, "SubscribeToTask": agent.drop, "GetTask": agent.drop}
    events = asker.ask("stream").body
    assert "error" in events[-1]
    assert texts(events) == ["half "]


def test_an_answer_that_never_comes_ends_at_the_deadline(agent: ScriptedAgent, place: Place) -> None:
    agent.acts["SendMessage"] = agent.hang
    asker = place(timeout=0.3)
    assert asker.ask("send").code == -32603
    until(agent.left.is_set)


def test_a_stream_that_says_nothing_any_more_is_ended(agent: ScriptedAgent, place: Place) -> None:
    agent.acts["SendStreamingMessage"] = agent.hold
    asker = place(stream={"idle_timeout": 0.3})
    events = asker.ask("stream").body
    assert [list(one) for one in events] == [["task"], ["statusUpdate"], ["error"]]


def test_a_client_that_leaves_ends_the_stream_and_not_the_task(asker: Asker, agent: ScriptedAgent) -> None:
    agent.acts["SendStreamingMessage"] = agent.hold
    with asker.listening("stream") as events:
        task = next(events)["task"]["id"]
    assert asker.ask("get", task=task).task["status"]["state"] == "TASK_STATE_WORKING"
    agent.goes_on.set()
    assert last(asker.ask("subscribe", task=task).body) == "TASK_STATE_COMPLETED"
    assert agent.calls("CancelTask") == 0


def test_events_that_are_strange_are_passed_on_and_harm_nobody(asker: Asker, agent: ScriptedAgent) -> None:
    def strange(request: BaseHTTPRequestHandler, message: Any) -> None:
        task = agent.begun(message, "working")
        agent.open(request)
        request.wfile.write(b": a comment\r\n\r\nevent: whatever\nid: 7\nretry: 100\n\n")
        agent.say(request, message, agent.of_status(task, "working"), agent.of_task(task), agent.of_task(task))
        agent.say(request, message, {"somethingNew": {"taskId": task, "of": [1, None]}})
        whole = {"jsonrpc": "2.0", "id": message["id"], "result": agent.of_artifact(task, "of two lines")}
        lines = json.dumps(whole, indent=1).replace("\n", "\ndata: ")
        request.wfile.write(b"data: " + lines.encode() + b"\r\n\r\n")
        agent.end(request, message, task)

    agent.acts["SendStreamingMessage"] = strange
    events = asker.ask("stream").body
    assert [next(iter(one)) for one in events] == [
        "statusUpdate",
        "task",
        "task",
        "somethingNew",
        "artifactUpdate",
        "artifactUpdate",
        "statusUpdate",
    ]
    assert texts(events) == ["of two lines", "all of it"]
    task = events[1]["task"]["id"]
    assert asker.ask("get", task=task).task["status"]["state"] == "TASK_STATE_COMPLETED"


def test_the_slash_at_the_end_may_be_a_redirect_and_nothing_else(agent: ScriptedAgent, place: Place) -> None:
    def to_slash(request: BaseHTTPRequestHandler, message: Any) -> None:
        if request.path == "/agent":
            agent.reply(request, 307, b"", {"location": f"{agent.origin}/agent/"})
        else:
            agent.behave(request, message)

    agent.acts["SendMessage"] = to_slash
    agent.changes = {
        "supportedInterfaces": [
            {"url": f"{agent.origin}/agent", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        ]
    }
    asker = place(url=f"{agent.origin}/agent")
    assert asker.ask("send").code is None
    with ScriptedAgent() as other:
        agent.acts["SendMessage"] = lambda request, _: agent.reply(
            request, 307, b"", {"location": f"{other.origin}/agent/"}
        )
        assert asker.ask("send").code == -32603
        assert other.heard == []


def garbage() -> dict[str, bytes]:
    """What is no answer."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return {
        "chunks": head + b"transfer-encoding: chunked\r\n\r\nzz\r\nnonsense",
        "head": b"\x00\x01\x02\r\n\r\n",
        "cut": head + b"content-length: 1000\r\n\r\n{",
        "json": head + b'content-length: 9\r\n\r\n{"result"',
    }


@pytest.mark.parametrize("kind", garbage())
def test_garbage_fails_that_call_only(asker: Asker, agent: ScriptedAgent, kind: str) -> None:
    def write(request: BaseHTTPRequestHandler, _: Any) -> None:
        request.wfile.write(garbage()[kind])
        agent.drop(request)

    agent.acts["SendMessage"] = write
    assert asker.ask("send").code in {-32603, -32006}
    del agent.acts["SendMessage"]
    assert asker.ask("send").code is None


def test_a_result_that_is_too_large_is_refused_and_not_kept(agent: ScriptedAgent, place: Place) -> None:
    def huge(request: BaseHTTPRequestHandler, message: Any) -> None:
        agent.result(request, message, {"task": {"id": "x" * 30_000_000}})

    agent.acts["SendMessage"] = huge
    asker = place(max_result_bytes=1_000_000)
    assert asker.ask("send").code == -32603
    status = Path(f"/proc/{asker.gateway.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 200_000


HOOKS = (
    "http://169.254.169.254/latest/meta-data",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/hook",
    "https://127.0.0.1:9/hook",
    "https://localhost:9/hook",
    "https://[::1]:9/hook",
    "https://2130706433/hook",
    "http://example.com/hook",
    "file:///etc/passwd",
    "https://user:secret@example.com/hook",
    "hook",
)
"""That lead inside, or that nobody should be told at."""


@pytest.mark.parametrize("push", ["pass", "relay"])
def test_webhooks_that_lead_inside_are_refused(agent: ScriptedAgent, serve: Serve, push: str) -> None:
    asker = Asker(serve(entry(agent, push=push), allowed_private=[]), "scripted")
    task = asker.ask("send").task["id"]
    assert {hook: asker.ask("set_push", task=task, hook=hook).code for hook in HOOKS} == dict.fromkeys(HOOKS, -32602)
    assert agent.calls("CreateTaskPushNotificationConfig") == 0


def test_a_token_that_has_expired_is_renewed_once(agent: ScriptedAgent, place: Place) -> None:
    agent.tokens = {"t1"}
    agent.grants = [{"access_token": f"t{n}", "token_type": "Bearer", "expires_in": 3600} for n in (1, 2, 3)]
    auth = {"client_id": "c", "client_secret": "s3cret", "token_url": agent.token_url}
    asker = place(auth_type="oauth2", auth=auth)
    assert asker.ask("send").code is None
    agent.tokens = {"t2"}
    assert asker.ask("send").code is None
    assert asker.ask("send").code is None
    assert len(agent.grants) == 1


def test_an_agent_that_lets_nobody_in_says_nothing_of_its_credential(agent: ScriptedAgent, place: Place) -> None:
    agent.tokens = set()
    asker = place(auth_type="bearer_token", auth={"token": "sk-wrong-canary"})
    refused = asker.ask("send")
    assert refused.code == -32603
    assert b"sk-wrong-canary" not in refused.reply.raw


def test_a_task_goes_on_while_the_gateway_is_started_anew(agent: ScriptedAgent, serve: Serve) -> None:
    agent.acts["SendStreamingMessage"] = agent.hold
    first = serve(entry(agent))
    owner, stranger = as_key(first), as_key(first)
    with Asker(first, "scripted", key=owner).listening("stream") as events:
        task = next(events)["task"]["id"]
    first.__exit__(None, None, None)
    again = serve(entry(agent))
    asker = Asker(again, "scripted", key=owner)
    assert asker.ask("get", task=task).task["status"]["state"] == "TASK_STATE_WORKING"
    assert Asker(again, "scripted", key=stranger).ask("get", task=task).code == NOT_FOUND
    agent.goes_on.set()
    assert last(asker.ask("subscribe", task=task).body) == "TASK_STATE_COMPLETED"


def test_workers_know_each_others_tasks(agent: ScriptedAgent, serve: Serve) -> None:
    gateway = serve(entry(agent), args=("--workers", "2"))
    owner, stranger = as_key(gateway), as_key(gateway)
    mine = Asker(gateway, "scripted", key=owner)
    tasks = [mine.ask("send").task["id"] for _ in range(8)]
    # Each request is a connection of its own, and comes to either of them.
    for task in tasks:
        assert mine.ask("get", task=task).task["id"] == task
        assert Asker(gateway, "scripted", key=stranger).ask("get", task=task).code == NOT_FOUND
    listed = mine.ask("list").body
    assert {one["id"] for one in listed.get("tasks", ())} == set(tasks), listed


def test_a_webhook_that_redirects_is_not_followed(agent: ScriptedAgent, serve: Serve) -> None:
    agent.version = "0.3"
    made: dict[str, Any] = {}

    def create(request: BaseHTTPRequestHandler, message: Any) -> None:
        made.update(message["params"])
        agent.result(request, message, message["params"])

    with Hook() as hook, Hook() as inside:
        hook.location = f"{inside.origin}/hook"
        agent.acts["CreateTaskPushNotificationConfig"] = create
        port = free_port()
        public = f"http://127.0.0.1:{port}"
        gateway = serve(entry(agent, push="relay"), args=("--port", str(port)), public_url=public)
        asker = Asker(gateway, "scripted")
        task = asker.ask("send").task["id"]
        assert asker.ask("set_push", task=task, hook=f"{hook.origin}/hook").code is None
        relayed = made["pushNotificationConfig"]["url"]
        assert relayed.startswith(public)
        sent = gateway.post(relayed.removeprefix(public), agent.task(task), key="")
        assert sent.status < 300
        until(lambda: bool(hook.heard))
        assert hook.heard[0][1]["task"]["id"] == task
        assert not inside.heard
