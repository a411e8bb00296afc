"""What can go wrong with MCP servers and clients, each over the real gateway."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from system.conftest import MASTER_KEY
from system.mcp.conftest import mcp_config
from system.mcp.installing import FOLDER
from system.mcp.scripted import ECHO, LegacyClient, ModernClient, ScriptedServer, leaving, listening
from system.process import Gateway
from system.scripted import until

pytestmark = pytest.mark.requirement("mcp.faults")
Serve = Callable[[Mapping[str, Mapping[str, Any]]], Gateway]
CALL = {"jsonrpc": "2.0", "id": 9, "method": "tools/call"}


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object"}}


def calling(name: str) -> dict[str, Any]:
    return CALL | {"params": {"name": name, "arguments": {}}}


def over_http(server: ScriptedServer, **more: Any) -> dict[str, Any]:
    return {"url": server.url, "transport": "http", **more}


def over_stdio(way: str = "", **more: Any) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(FOLDER / "servers" / "failing.py"), way], **more}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    names = ("hang", "drop", "cut", "malformed", "huge", "ask")
    with ScriptedServer([dict(ECHO), *map(tool, names)]) as running:
        running.behaviours |= {name: getattr(running, name) for name in names}
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts gateways with such servers."""
    running: list[Gateway] = []

    def start(servers: Mapping[str, Mapping[str, Any]]) -> Gateway:
        gateway = Gateway(tmp_path / f"gateway-{len(running)}", mcp_config(servers, is_open=False))
        gateway.key = MASTER_KEY
        running.append(gateway.__enter__())
        return gateway

    yield start
    for gateway in running:
        gateway.__exit__(None, None, None)


@pytest.fixture
def gateway(server: ScriptedServer, serve: Serve) -> Gateway:
    return serve({"depot": over_http(server)})


@pytest.fixture
def client(gateway: Gateway) -> LegacyClient:
    made = LegacyClient(gateway, "/mcp/depot")
    made.initialize()
    return made


def test_a_server_that_is_down_at_the_start_is_used_when_it_comes_up(server: ScriptedServer, serve: Serve) -> None:
    server.stop()
    gateway = serve({"depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp")
    client.initialize()
    assert client.tools() == []
    server.start()
    until(lambda: "depot__echo" in client.tools())
    assert client.call("depot__echo") == "hello"


def test_a_server_that_is_down_hides_nothing_of_the_others(server: ScriptedServer, serve: Serve) -> None:
    with ScriptedServer() as other:
        gateway = serve({"depot": over_http(server), "away": over_http(other)})
        other.stop()
        client = LegacyClient(gateway, "/mcp")
        client.initialize()
        found = client.ask("tools/list")["result"]
        assert "depot__echo" in [one["name"] for one in found["tools"]]
        assert "away" in str(found["_meta"])
        assert client.call("depot__echo") == "hello"


def test_a_server_that_hangs_in_its_list_holds_nobody_up(server: ScriptedServer, serve: Serve) -> None:
    with ScriptedServer() as other:
        other.hangs_in = {"tools/list"}
        gateway = serve({"depot": over_http(server), "slow": over_http(other)})
        client = LegacyClient(gateway, "/mcp")
        client.initialize()
        assert {name.partition("__")[0] for name in client.tools()} == {"depot"}


def test_a_server_that_dies_in_a_call_fails_that_call_only(client: LegacyClient, server: ScriptedServer) -> None:
    assert client.call("drop").startswith("error: ")
    assert [message.get("params", {}).get("name") for message in server.heard].count("drop") == 1
    assert client.call("echo") == "hello"


def test_a_stream_that_is_cut_half_way_fails_that_call_only(client: LegacyClient) -> None:
    assert client.call("cut").startswith("error: ")
    assert client.call("echo") == "hello"


def test_an_answer_that_is_no_json_fails_that_call_only(client: LegacyClient) -> None:
    assert client.call("malformed").startswith("error: ")
    assert client.call("echo") == "hello"


def test_a_result_of_100_mb_is_refused_and_not_kept(client: LegacyClient, gateway: Gateway) -> None:
    assert client.call("huge").startswith("error: ")
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 250_000
    assert client.call("echo") == "hello"


def test_a_session_that_the_server_has_forgotten_is_begun_again_once(
    client: LegacyClient, server: ScriptedServer
) -> None:
    assert client.call("echo") == "hello"
    before = server.calls("initialize")
    server.sessions.clear()
    assert client.call("echo") == "hello"
    assert server.calls("initialize") == before + 1


def test_a_call_ends_at_its_deadline_and_the_server_is_told(server: ScriptedServer, serve: Serve) -> None:
    gateway = serve({"depot": over_http(server, timeout=0.5)})
    client = LegacyClient(gateway, "/mcp/depot")
    client.initialize()
    assert "time" in client.call("hang")
    until(lambda: server.calls("notifications/cancelled") == 1 and server.left.is_set())


def test_a_client_that_leaves_cancels_its_call_at_the_server(
    client: LegacyClient, gateway: Gateway, server: ScriptedServer
) -> None:
    with leaving(gateway, "/mcp/depot", client, calling("hang")):
        until(lambda: server.calls("tools/call") == 1)
    until(lambda: server.calls("notifications/cancelled") == 1 and server.left.is_set())


def test_two_tools_of_one_name_and_a_bad_one_hide_no_other(server: ScriptedServer, serve: Serve) -> None:
    server.tools = [dict(ECHO), tool("echo"), {"name": "bad", "inputSchema": {}}, {"name": 7}, tool("last")]
    gateway = serve({"depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp/depot")
    client.initialize()
    names = client.tools()
    assert names.count("echo") == 1
    assert "last" in names


def test_unknown_members_of_a_tool_and_a_result_are_kept(server: ScriptedServer, serve: Serve) -> None:
    odd = ECHO | {"x-track": {"deep": [1, 2.50, None]}, "annotations": {"x": 1}}
    server.tools = [odd]
    server.behaviours["echo"] = lambda request, message: server.result(request, message, {"content": [], "x": {"y": 1}})
    gateway = serve({"depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp/depot")
    client.initialize()
    assert client.ask("tools/list")["result"]["tools"] == [odd]
    assert client.ask("tools/call", {"name": "echo"})["result"] == {"content": [], "x": {"y": 1}}


def test_a_redirect_is_not_followed(server: ScriptedServer, serve: Serve) -> None:
    with ScriptedServer() as private:
        server.location = private.url
        gateway = serve({"depot": over_http(server)})
        assert gateway.post("/mcp/depot", calling("echo"), {"accept": "*/*"}).status != 200
        client = LegacyClient(gateway, "/mcp")
        client.initialize()
        assert client.tools() == []
        assert private.heard == []


def granted(token: str, seconds: object = 3600) -> dict[str, Any]:
    return {"access_token": token, "token_type": "Bearer", "expires_in": seconds}


@pytest.fixture
def guarded(server: ScriptedServer, serve: Serve) -> LegacyClient:
    """A client of a server that wants tokens, which the gateway gets for itself."""
    server.tokens = {"good"}
    auth = {"auth_type": "oauth2", "client_id": "gateway", "client_secret": "s", "token_url": server.token_url}
    return LegacyClient(serve({"depot": over_http(server, **auth)}), "/mcp/depot")


def test_a_token_that_is_refused_is_renewed_once(guarded: LegacyClient, server: ScriptedServer) -> None:
    server.grants = [granted("stale"), granted("good")]
    guarded.initialize()
    assert guarded.call("echo") == "hello"
    assert server.grants == []
    server.tokens = set()
    server.grants = [granted("other") for _ in range(50)]
    assert guarded.call("echo").startswith("error: ")
    assert len(server.grants) > 45


@pytest.mark.parametrize("seconds", [0, -5, 1e18, "3600", None])
def test_what_a_token_says_of_its_end_is_not_relied_on(
    seconds: object, guarded: LegacyClient, server: ScriptedServer
) -> None:
    server.grants = [granted("good", seconds) for _ in range(50)]
    guarded.initialize()
    assert [guarded.call("echo") for _ in range(3)] == ["hello"] * 3


def test_a_session_id_that_was_changed_is_unknown(client: LegacyClient) -> None:
    whole = client.session
    for changed in (whole[:-2] + ("AA" if whole[-2:] != "AA" else "BB"), whole[:-1], "x", "é"):
        client.session = changed
        assert client.send(calling("echo")).status in {400, 404}
    client.session = whole
    assert client.call("echo") == "hello"


def test_a_session_id_is_worth_nothing_to_somebody_else(client: LegacyClient, gateway: Gateway) -> None:
    made = gateway.post("/key/generate", {"object_permission": {"mcp_servers": ["depot"]}}).json["key"]
    thief = LegacyClient(gateway, "/mcp/depot", client.session, key=made)
    assert thief.send(calling("echo")).status == 404
    thief.session = ""
    thief.initialize()
    assert thief.call("echo") == "hello"


def test_an_answer_reaches_the_call_that_asked_whose_state_is_whole_and_once_only(
    gateway: Gateway, server: ScriptedServer
) -> None:
    client = ModernClient(gateway, "/mcp/depot")
    asked = client.ask("tools/call", {"name": "ask", "arguments": {}}, elicitation={})["result"]
    assert asked["resultType"] == "input_required"
    [name] = asked["inputRequests"]
    state = asked["requestState"]
    again = {
        "name": "ask",
        "arguments": {},
        "requestState": state,
        "inputResponses": {name: {"action": "accept", "content": {"name": "Ada"}}},
    }
    made = gateway.post("/key/generate", {"object_permission": {"mcp_servers": ["depot"]}}).json["key"]
    thief = ModernClient(gateway, "/mcp/depot", key=made)
    changed = state[:-2] + ("AA" if state[-2:] != "AA" else "BB")
    wrong = [
        thief.ask("tools/call", again, elicitation={}),
        client.ask("tools/call", again | {"requestState": changed}, elicitation={}),
        client.ask("tools/call", again | {"arguments": {"other": 1}}, elicitation={}),
    ]
    assert [one["error"]["code"] for one in wrong] == [-32602] * 3
    assert server.answers.empty()
    found = client.ask("tools/call", again, elicitation={})["result"]
    assert found["content"] == [{"type": "text", "text": "Hello, Ada"}]
    assert client.ask("tools/call", again, elicitation={})["error"]["code"] == -32602
    assert server.calls("tools/call") == 1


def test_an_answer_reaches_the_worker_where_its_call_waits(server: ScriptedServer, tmp_path: Path) -> None:
    config = mcp_config({"depot": over_http(server)}, is_open=False)
    with Gateway(tmp_path / "workers", config, "--workers", "2") as gateway:
        gateway.key = MASTER_KEY
        client = ModernClient(gateway, "/mcp/depot")
        for number in range(8):
            asked = client.ask("tools/call", {"name": "ask"}, elicitation={})["result"]
            [name] = asked["inputRequests"]
            answers = {name: {"action": "accept", "content": {"name": str(number)}}}
            again = {"name": "ask", "requestState": asked["requestState"], "inputResponses": answers}
            found = client.ask("tools/call", again, elicitation={})
            assert found["result"]["content"][0]["text"] == f"Hello, {number}"


def test_a_session_is_one_at_the_server_whichever_worker_is_met(server: ScriptedServer, tmp_path: Path) -> None:
    config = mcp_config({"depot": over_http(server)}, is_open=False)
    with Gateway(tmp_path / "workers", config, "--workers", "2") as gateway:
        gateway.key = MASTER_KEY
        client = LegacyClient(gateway, "/mcp/depot")
        client.initialize()
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(client.call, ["echo"] * 32)) == {"hello"}
        server.sessions.clear()
        assert {client.call("echo") for _ in range(8)} == {"hello"}
        used = {
            lines["mcp-session-id"]
            for message, lines in zip(server.heard, server.headers, strict=True)
            if message.get("method") == "tools/call"
        }
        assert len(used) == 2
        numbers = [message["id"] for message in server.heard if message.get("method") == "tools/call"]
        assert len(set(numbers)) == len(numbers) > 40


def test_a_server_that_asks_a_client_which_cannot_answer_hears_that_at_once(gateway: Gateway) -> None:
    modern = ModernClient(gateway, "/mcp/depot").ask("tools/call", {"name": "ask", "arguments": {}})
    legacy = LegacyClient(gateway, "/mcp/depot")
    legacy.initialize()
    assert modern["result"]["content"][0]["text"].startswith("Error -32")
    assert legacy.call("ask").startswith("Error -32")


def test_a_storm_of_list_changes_is_a_few_lists_and_few_events(
    client: LegacyClient, gateway: Gateway, server: ScriptedServer
) -> None:
    client.tools()
    with listening(client) as stream:
        until(lambda: len(server.streams) > 0)
        before = server.calls("tools/list")
        server.tools.append(tool("new"))
        server.tell("notifications/tools/list_changed", times=2000)
        assert b"list_changed" in stream.recv(1 << 16)
        until(lambda: "new" in client.tools())
        assert server.calls("tools/list") - before < 20
        stream.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            assert stream.recv(1 << 20).count(b"list_changed") < 20


def test_a_client_goes_on_after_the_gateway_was_killed(server: ScriptedServer, serve: Serve, tmp_path: Path) -> None:
    config, home = mcp_config({"depot": over_http(server)}, is_open=False), tmp_path / "killed"
    first = Gateway(home, config).__enter__()
    first.key = MASTER_KEY
    client = LegacyClient(first, "/mcp/depot")
    client.initialize()
    assert client.call("echo") == "hello"
    first.process.kill()
    first.stop()
    with Gateway(home, config) as second:
        second.key = MASTER_KEY
        client.gateway = second
        assert client.call("echo") == "hello"


def test_a_call_ends_when_the_gateway_is_told_to_stop(server: ScriptedServer, serve: Serve) -> None:
    entered, released = threading.Event(), threading.Event()

    def slow(request: Any, message: Any) -> None:
        entered.set()
        released.wait(10)
        server.echo(request, message)

    server.behaviours["slow"] = slow
    server.tools.append(tool("slow"))
    gateway = serve({"depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp/depot")
    client.initialize()
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(client.call("slow")))
    caller.start()
    assert entered.wait(10)
    stopping = threading.Thread(target=gateway.stop)
    stopping.start()
    released.set()
    caller.join(10)
    stopping.join(10)
    assert said == ["hello"]


def test_a_call_outlives_a_reload_that_takes_its_server_away(server: ScriptedServer, serve: Serve) -> None:
    entered, released = threading.Event(), threading.Event()

    def slow(request: Any, message: Any) -> None:
        entered.set()
        released.wait(10)
        server.echo(request, message)

    server.behaviours["slow"] = slow
    server.tools.append(tool("slow"))
    gateway = serve({"depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp/depot")
    client.initialize()
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(client.call("slow")))
    caller.start()
    assert entered.wait(10)
    (gateway.home / "config.yaml").write_text(mcp_config({"other": over_http(server)}, is_open=False))
    assert gateway.post("/config/reload", {}).status == 200
    released.set()
    caller.join(10)
    assert said == ["hello"]
    assert client.send(calling("echo")).status == 404


def test_noise_on_stdout_is_passed_over(serve: Serve) -> None:
    client = LegacyClient(serve({"local": over_stdio()}), "/mcp/local")
    client.initialize()
    assert client.call("noise").isdigit()


def test_a_killed_child_is_started_again_for_the_next_call(serve: Serve) -> None:
    client = LegacyClient(serve({"local": over_stdio()}), "/mcp/local")
    client.initialize()
    first = client.call("pid")
    os.kill(int(first), signal.SIGKILL)
    second = client.call("pid")
    assert second.isdigit()
    assert second != first


def test_a_child_that_dies_in_a_call_fails_that_call_only(serve: Serve) -> None:
    client = LegacyClient(serve({"local": over_stdio()}), "/mcp/local")
    client.initialize()
    first = client.call("pid")
    assert client.call("die").startswith("error: ")
    assert client.call("pid") not in {first, ""}


def test_a_child_that_always_crashes_is_told_of_and_harms_nobody(serve: Serve, server: ScriptedServer) -> None:
    gateway = serve({"local": over_stdio("crash"), "depot": over_http(server)})
    client = LegacyClient(gateway, "/mcp")
    client.initialize()
    assert {name.partition("__")[0] for name in client.tools()} == {"depot"}
    assert client.call("depot__echo") == "hello"


def test_a_result_of_100_mb_over_stdio_is_refused(serve: Serve) -> None:
    client = LegacyClient(serve({"local": over_stdio()}), "/mcp/local")
    client.initialize()
    assert client.call("huge").startswith("error: ")
    assert client.call("pid").isdigit()


def test_children_end_with_the_gateway_however_it_ends(serve: Serve, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "ending", mcp_config({"local": over_stdio()}, is_open=False)).__enter__()
    gateway.key = MASTER_KEY
    client = LegacyClient(gateway, "/mcp/local")
    client.initialize()
    child = int(client.call("pid"))
    gateway.process.kill()
    gateway.stop()
    until(lambda: not Path(f"/proc/{child}").exists())


def test_programs_are_started_before_anybody_asks(serve: Serve) -> None:
    gateway = serve({"local": over_stdio(), "broken": over_stdio("crash")})
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
    until(lambda: children.read_text().strip() != "")
    until(lambda: gateway.get("/mcp/health").json["servers"][0]["status"] == "ready")
    client = LegacyClient(gateway, "/mcp")
    client.initialize()
    assert "local__pid" in client.tools()
