from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from unit.mcp.pretending import Pretending, Rig, Someone, caller, legacy, nobody, only, server, tool

from pointsman.errors import Unseen, UpstreamUnreachable
from pointsman.mcp.settings import Limits, McpSettings
from pointsman.wire.jsonrpc import RpcError

RESOURCES = [{"uri": "x:1", "name": "one"}, {"uri": "x:both", "name": "both"}]
LISTS = {
    "tools": [tool("go"), tool("only-a")],
    "prompts": [{"name": "say"}],
    "resources": RESOURCES,
    "resourceTemplates": [{"uriTemplate": "x:{id}/data", "name": "t"}],
}
LEGACY = {"era": "legacy", "revision": "2025-11-25"}


def two(said: Any = None, **settings: Any) -> Rig:
    a = Pretending(LISTS, **(said or {}))
    b = Pretending({"tools": [tool("go")], "prompts": [{"name": "say"}], "resources": RESOURCES[1:]})
    return Rig((server("a", **settings), a), (server("b"), b))


def passed(rig: Rig, server_id: str, method: str) -> list[dict[str, Any]]:
    """The parameters that came there."""
    return [given for one, given in rig.by_id[server_id].asked if one == method]


async def refused(rig: Rig, method: str, params: Any, **more: Any) -> RpcError:
    with pytest.raises(RpcError) as caught:
        await rig.ask(method, params, **more)
    return caught.value


@pytest.mark.requirement("mcp.faithful")
async def test_the_name_tells_the_server_and_all_else_is_passed_on_as_it_is() -> None:
    rig = two()
    await rig.ask("tools/call", {"name": "b__go", "arguments": {"n": 1.0}, "vendor": [1], "_meta": {"k": 1}})
    assert passed(rig, "b", "tools/call") == [{"name": "go", "arguments": {"n": 1.0}, "vendor": [1], "_meta": {"k": 1}}]


@pytest.mark.parametrize("name", ["only-a", "a__only-a"])
async def test_a_bare_name_will_do_while_one_server_has_it(name: str) -> None:
    rig = two()
    await rig.ask("tools/call", {"name": name})
    assert passed(rig, "a", "tools/call") == [{"name": "only-a"}]


async def test_of_one_server_the_request_is_passed_on_untouched() -> None:
    rig = two()
    await rig.ask("tools/call", {"name": "not__listed", "arguments": None}, scope=only("a"))
    assert passed(rig, "a", "tools/call") == [{"name": "not__listed", "arguments": None}]


async def test_a_tool_can_be_called_although_the_list_of_its_server_cannot_be_read() -> None:
    rig = two()
    rig.by_id["b"].answers["tools/list"] = RpcError(-32603, "broken")
    await rig.ask("tools/call", {"name": "b__anything"})
    assert passed(rig, "b", "tools/call") == [{"name": "anything"}]


@pytest.mark.parametrize(
    ("settings", "who", "params"),
    [
        ({}, caller(parts={"a": ("go",)}), {"name": "a__only-a"}),
        ({}, nobody(), {"name": "a__go"}),
        ({"denied_tools": ("g*",)}, caller(), {"name": "a__go"}),
        ({"tools": ("only-a",)}, caller(), {"name": "a__go"}),
        ({"allowed_params": {"go": ("x",)}}, caller(), {"name": "a__go", "arguments": {"y": 1}}),
        ({}, caller(), {"name": "a__"}),
        ({}, caller(), {"name": "c__go"}),
        ({}, caller(), {"name": "go"}),
    ],
)
@pytest.mark.requirement("mcp.permissions")
async def test_unknown_and_forbidden_look_alike(settings: Any, who: Any, params: Any) -> None:
    rig = two(**settings)
    error = await refused(rig, "tools/call", params, asking=rig.someone(who))
    assert (error.code, error.message) == (-32602, f"Unknown tool: {params['name']}")
    assert passed(rig, "a", "tools/call") == []


@pytest.mark.parametrize(
    ("settings", "who"), [({"denied_tools": ("go",)}, caller()), ({}, caller(parts={"a": ("x", "only-a")}))]
)
@pytest.mark.requirement("mcp.permissions")
async def test_so_they_do_at_the_address_of_one_server(settings: Any, who: Any) -> None:
    rig = two(**settings)
    for name in ("go", "x"):
        error = await refused(rig, "tools/call", {"name": name}, scope=only("a"), asking=rig.someone(who))
        assert (error.code, error.message) == (-32602, f"Unknown tool: {name}")


@pytest.mark.requirement("mcp.audit")
async def test_the_log_tells_them_apart(caplog: pytest.LogCaptureFixture) -> None:
    rig = two(denied_tools=("go",))
    with caplog.at_level(logging.INFO, "pointsman.mcp.calls"):
        await refused(rig, "tools/call", {"name": "go"}, scope=only("a"))
    assert vars(caplog.records[0])["outcome"] == "denied: a has go denied"


@pytest.mark.parametrize(
    "params", [{}, {"name": 3}, {"name": "go", "arguments": [1]}, {"name": "go", "arguments": "x"}]
)
async def test_a_call_without_a_name_is_refused(params: Any) -> None:
    assert (await refused(two(), "tools/call", params, scope=only("a"))).code == -32602


async def test_a_tool_that_was_set_aside_cannot_be_called() -> None:
    rig = two()
    rig.faults = {"go": "it has changed"}
    for name, scope in (("go", {"scope": only("a")}), ("a__go", {})):
        assert "Unknown tool" in (await refused(rig, "tools/call", {"name": name}, **scope)).message


@pytest.mark.requirement("mcp.pinning")
async def test_where_definitions_are_pinned_only_what_is_known_can_be_called() -> None:
    rig = two(pinning="block")
    await rig.ask("tools/call", {"name": "go"}, scope=only("a"))
    assert "Unknown" in (await refused(rig, "tools/call", {"name": "hidden"}, scope=only("a"))).message


async def test_where_they_cannot_be_checked_nothing_can() -> None:
    rig = two(pinning="block")
    rig.by_id["a"].answers["tools/list"] = UpstreamUnreachable("gone")
    assert "cannot be checked" in (await refused(rig, "tools/call", {"name": "go"}, scope=only("a"))).message


MIRRORED = tool("go") | {
    "inputSchema": {"type": "object", "properties": {"place": {"type": "string", "x-mcp-header": "Place"}}}
}


@pytest.mark.parametrize(
    ("era", "headers", "is_passed"),
    [
        ("modern", {b"mcp-param-place": b"here"}, True),
        ("modern", {b"mcp-param-place": b"there"}, False),
        ("modern", {}, False),
        ("legacy", {}, True),
    ],
)
async def test_headers_of_a_modern_client_have_to_say_what_its_arguments_say(
    era: Any, headers: Any, is_passed: bool
) -> None:
    rig = two()
    rig.by_id["a"].lists["tools"] = [MIRRORED]
    asking = rig.someone(era=era, headers=headers)
    call = ("tools/call", {"name": "go", "arguments": {"place": "here"}})
    if is_passed:
        await rig.ask(*call, scope=only("a"), asking=asking)
    else:
        assert (await refused(rig, *call, scope=only("a"), asking=asking)).code == -32020


@pytest.mark.parametrize(
    ("method", "params"),
    [("tools/call", {"name": "a__go"}), ("prompts/get", {"name": "a__say"}), ("resources/read", {"uri": "x:1"})],
)
@pytest.mark.requirement("mcp.partial")
async def test_a_server_that_hangs_does_not_keep_others_from_being_asked(method: str, params: Any) -> None:
    rig = two()
    rig.by_id["b"].gate = asyncio.Event()
    rig.registry.settings = McpSettings(limits=Limits(list_seconds=0.001))
    await rig.ask("resources/list")
    rig.now += 100
    rig.registry.settings = McpSettings(limits=Limits(list_seconds=60.0))
    async with asyncio.timeout(5):
        await rig.ask(method, params)


async def test_a_name_that_an_operator_has_given_goes_before_what_it_would_mean() -> None:
    rig = two(renamed={"only-a": "b__go"})
    await rig.ask("tools/call", {"name": "b__go"})
    assert passed(rig, "a", "tools/call") == [{"name": "only-a"}]


@pytest.mark.parametrize("scope", [{}, {"scope": only("a")}], ids=["of several", "of one"])
async def test_calls_do_not_read_a_list_each_time_that_may_not_be_kept(scope: Any) -> None:
    rig = two()
    rig.by_id["a"].page = {"ttlMs": 0}
    for _ in range(3):
        await rig.ask("tools/call", {"name": "go" if scope else "a__go"}, **scope)
    assert rig.by_id["a"].count("tools/list") == 1
    await rig.tools(**scope)
    assert rig.by_id["a"].count("tools/list") == 2


async def test_a_prompt_goes_to_its_server() -> None:
    rig = two()
    await rig.ask("prompts/get", {"name": "b__say", "arguments": {"x": "1"}})
    assert passed(rig, "b", "prompts/get") == [{"name": "say", "arguments": {"x": "1"}}]
    assert (await refused(rig, "prompts/get", {"name": "say"})).code == -32602


@pytest.mark.parametrize(
    ("uri", "server_id", "there"),
    [("x:1", "a", "x:1"), ("b+x:both", "b", "x:both"), ("x:9/data", "a", "x:9/data")],
)
async def test_a_resource_is_read_where_it_is(uri: str, server_id: str, there: str) -> None:
    rig = two()
    await rig.ask("resources/read", {"uri": uri})
    assert passed(rig, server_id, "resources/read") == [{"uri": there}]


@pytest.mark.parametrize(("asking", "code"), [(Someone(legacy()), -32002), (None, -32602)])
async def test_a_resource_that_nobody_has_is_not_found_in_the_words_of_the_era(asking: Any, code: int) -> None:
    error = await refused(two(), "resources/read", {"uri": "y:1"}, asking=asking)
    assert (error.code, error.data) == (code, {"uri": "y:1"})


@pytest.mark.parametrize(("declared", "is_there"), [(("one",), True), (("x:1",), True), (("two",), False)])
async def test_what_is_not_declared_is_not_there(declared: tuple[str, ...], is_there: bool) -> None:
    rig = two(resources=declared)
    for method in ("resources/read", "resources/subscribe"):
        if is_there:
            await rig.ask(method, {"uri": "x:1"}, scope=only("a"))
        else:
            await refused(rig, method, {"uri": "x:1"}, scope=only("a"))


async def test_to_subscribe_is_the_affair_of_whoever_speaks_to_the_client() -> None:
    rig = two()
    assert await rig.ask("resources/subscribe", {"uri": "x:1"}) == {}
    assert await rig.ask("resources/unsubscribe", {"uri": "x:1"}) == {}
    assert passed(rig, "a", "resources/subscribe") == []


@pytest.mark.parametrize(
    ("ref", "server_id", "there"),
    [
        ({"type": "ref/prompt", "name": "b__say"}, "b", {"type": "ref/prompt", "name": "say"}),
        ({"type": "ref/resource", "uri": "x:{id}/data"}, "a", {"type": "ref/resource", "uri": "x:{id}/data"}),
        ({"type": "ref/resource", "uri": "b+x:both"}, "b", {"type": "ref/resource", "uri": "x:both"}),
    ],
)
async def test_completions_come_from_whoever_has_the_prompt_or_resource(ref: Any, server_id: str, there: Any) -> None:
    rig = two()
    argument = {"name": "a", "value": "b"}
    await rig.ask("completion/complete", {"ref": ref, "argument": argument})
    assert passed(rig, server_id, "completion/complete") == [{"ref": there, "argument": argument}]


async def test_a_completion_of_nothing_is_refused() -> None:
    ref = {"type": "ref/prompt", "name": "nothing"}
    assert (await refused(two(), "completion/complete", {"ref": ref})).code == -32602


@pytest.mark.parametrize("result", [{"task": {"taskId": "7", "status": "working"}}, {"taskId": "7", "status": "x"}])
async def test_the_id_of_a_task_names_its_server(result: Any) -> None:
    rig = two()
    rig.by_id["b"].answers["tools/call"] = result
    found = await rig.ask("tools/call", {"name": "b__go"})
    task = (found.get("task") or found)["taskId"]
    rig.by_id["b"].answers["tasks/get"] = {"taskId": "7", "status": "done"}
    assert await rig.ask("tasks/get", {"taskId": task}) == {"taskId": task, "status": "done"}
    assert passed(rig, "b", "tasks/get") == [{"taskId": "7"}]
    assert (await refused(rig, "tasks/get", {"taskId": "7"})).code == -32602


@pytest.mark.requirement("mcp.isolation")
async def test_nobody_is_told_the_tasks_of_others() -> None:
    rig = two()
    for params in ({}, {"taskId": "x"}, {"taskId": "a:x"}):
        assert (await refused(rig, "tasks/list", params, scope=only("a"))).code == -32601
    assert (await refused(rig, "tasks/list", {"taskId": "a:x"})).code == -32601
    assert (await refused(rig, "Tasks/List", {}, scope=only("a"))).code == -32601
    assert passed(rig, "a", "tasks/list") == passed(rig, "a", "Tasks/List") == []
    alone = two(isolation="key")
    alone.by_id["a"].answers["tasks/list"] = {"tasks": []}
    assert await alone.ask("tasks/list", {}, scope=only("a")) == {"tasks": []}


@pytest.mark.requirement("mcp.isolation")
@pytest.mark.parametrize("scope", [{}, {"scope": only("b")}], ids=["of several", "of one"])
async def test_a_task_is_for_whoever_has_begun_it(scope: Any) -> None:
    rig = two()
    rig.by_id["b"].answers["tools/call"] = {"task": {"taskId": "7~x"}}
    call = {"name": "go" if scope else "b__go"}
    task = (await rig.ask("tools/call", call, **scope))["task"]["taskId"]
    for name, who in ((task, caller("key:b")), ("7~x", None), (task + "0", None), ("b:7~x", None)):
        error = await refused(rig, "tasks/result", {"taskId": name}, asking=rig.someone(who), **scope)
        assert error.message == "There is no such task"
    await rig.ask("tasks/result", {"taskId": task}, **scope)
    assert passed(rig, "b", "tasks/result") == [{"taskId": "7~x"}]


async def test_in_a_session_of_its_own_a_task_keeps_its_name() -> None:
    rig = two(isolation="key")
    rig.by_id["a"].answers["tools/call"] = {"taskId": "7"}
    assert await rig.ask("tools/call", {"name": "go"}, scope=only("a")) == {"taskId": "7"}


@pytest.mark.requirement("mcp.pinning")
@pytest.mark.parametrize(("method", "kind"), [("tools/call", "tools"), ("prompts/get", "prompts")])
async def test_what_a_server_does_not_show_is_not_asked_of_another_one(method: str, kind: str) -> None:
    rig = two()
    rig.by_id["b"].lists[kind].append({"name": "a__gone", "inputSchema": {"type": "object"}})
    rig.by_id["a"].answers[method] = RpcError(-32602, "Unknown")
    assert (await refused(rig, method, {"name": "a__gone"})).message == "Unknown"
    rig.faults = {"go": "it has changed"}
    rig.gateway.recheck()
    await refused(rig, "tools/call", {"name": "a__go"})
    assert passed(rig, "b", method) == []


@pytest.mark.requirement("mcp.names")
async def test_a_server_cannot_have_what_is_asked_of_another_one() -> None:
    rig = two()
    rig.by_id["b"].lists["resources"] = [{"uri": "a+x:1", "name": "stolen"}]
    listed = [one["uri"] for one in (await rig.ask("resources/list"))["resources"]]
    assert listed == ["x:1", "x:both", "b+a+x:1"]
    for uri in ("a+x:1", "b+a+x:1"):
        await rig.ask("resources/read", {"uri": uri})
        await rig.ask("completion/complete", {"ref": {"type": "ref/resource", "uri": uri}})
    assert passed(rig, "a", "resources/read") == [{"uri": "x:1"}]
    assert passed(rig, "b", "resources/read") == [{"uri": "a+x:1"}]
    for one, uri in (("a", "x:1"), ("b", "a+x:1")):
        assert passed(rig, one, "completion/complete") == [{"ref": {"type": "ref/resource", "uri": uri}}]


@pytest.mark.requirement("mcp.permissions")
@pytest.mark.parametrize("name", ["x:{id}/data", "x:1"])
async def test_a_completion_is_only_for_what_may_be_read(name: str) -> None:
    ask = ("completion/complete", {"ref": {"type": "ref/resource", "uri": name}})
    rig = two(resources=("t", "one"))
    await rig.ask(*ask, scope=only("a"))
    kept = two(resources=("other",))
    assert "not found" in (await refused(kept, *ask, scope=only("a"))).message
    assert passed(kept, "a", "completion/complete") == []


@pytest.mark.requirement("mcp.permissions")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", b'{"name":"go","Name":"only-a"}'),
        ("tools/call", b'{"name":"go","arguments":{"x":1},"ARGUMENTS":{}}'),
        ("tools/call", rb'{"name":"go","argument\u017f":{}}'),
        ("resources/read", b'{"uri":"x:1","URI":"x:2"}'),
        ("completion/complete", b'{"ref":{"type":"ref/resource","uri":"x:1","Uri":"x:2"}}'),
        ("tasks/get", b'{"taskId":"1","taskid":"2"}'),
    ],
)
async def test_a_member_in_another_case_is_refused(method: str, params: bytes) -> None:
    rig = two()
    with pytest.raises(RpcError) as caught:
        await rig.gateway.call(only("a"), method, msgspec.Raw(params), rig.someone())
    assert (caught.value.code, passed(rig, "a", method)) == (-32602, [])


@pytest.mark.requirement("mcp.permissions")
async def test_a_member_that_is_given_twice_reaches_the_server_once() -> None:
    rig, seen = two(), []

    async def keep(method: str, params: msgspec.Raw, *_: Any) -> msgspec.Raw:
        seen.append(bytes(params))
        return msgspec.Raw(b"{}")

    await rig.tools()
    rig.by_id["a"].call = keep  # type: ignore[method-assign,assignment]
    for method, params in (
        ("tools/call", rb'{"n\u0061me":"x","name": "go","arguments":{"zz":1},"arguments":{"q": 1}}'),
        ("completion/complete", b'{"ref":{"type":"ref/prompt","name":"x","name":"say"}}'),
    ):
        await rig.gateway.call(only("a"), method, msgspec.Raw(params), rig.someone())
    assert seen == [b'{"name":"go","arguments":{"q": 1}}', b'{"ref":{"type":"ref/prompt","name":"say"}}']


@pytest.mark.requirement("mcp.permissions")
@pytest.mark.parametrize(
    ("settings", "who", "method"),
    [
        ({}, caller(parts={"a": ("go",)}), "vendor/do"),
        ({"tools": ("go",)}, None, "vendor/do"),
        ({"denied_tools": ("x",)}, None, "vendor/do"),
        ({"resources": ("x:1",)}, None, "vendor/do"),
        ({"allowed_params": {"go": ("q",)}}, None, "vendor/do"),
        ({"cost_usd": {"go": "1"}}, None, "vendor/do"),
        ({"pinning": "block"}, None, "vendor/do"),
        ({}, None, "Tools/Call"),
        ({}, None, "TOOLS/LIST"),
    ],
)
async def test_what_nobody_here_knows_is_no_way_around_what_is_kept(settings: Any, who: Any, method: str) -> None:
    rig = two(**settings)
    asking = None if who is None else rig.someone(who)
    assert (await refused(rig, method, {"name": "x"}, scope=only("a"), asking=asking)).code == -32601
    assert passed(rig, "a", method) == []


@pytest.mark.requirement("mcp.audit")
@pytest.mark.parametrize(
    ("method", "params", "who", "server_id", "outcome"),
    [
        ("tools/call", {"name": "a__go"}, nobody(), "a", "denied: the caller may not use the server a"),
        ("prompts/get", {"name": "a__say"}, nobody(), "a", "denied: the caller may not use the server a"),
        ("resources/read", {"uri": "a+x:1"}, nobody(), "a", "denied: the caller may not use the server a"),
        ("tools/call", {"name": "zz__go"}, None, "", "denied: nobody has it"),
        ("tools/call", {"name": "a__x"}, caller(parts={"a": ("go",)}), "a", "denied: the caller may not call x of a"),
        ("tools/call", {"name": "a__x"}, caller(parts={"a": ("x",)}), "a", "denied: a has no x"),
        ("resources/read", {"uri": "x:both"}, caller(names={"a"}), "a", "denied: a does not declare x:both"),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "q"}}, None, "", "denied: nobody has it"),
    ],
)
async def test_the_log_says_of_each_refusal_what_it_was(
    method: str, params: Any, who: Any, server_id: str, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = two(resources=("x:1",))
    with caplog.at_level(logging.INFO, "pointsman.mcp.calls"):
        await refused(rig, method, params, asking=rig.someone(who))
    said = vars(caplog.records[0])
    assert (said["server"], said["outcome"], said["method"]) == (server_id, outcome, method)


@pytest.mark.parametrize("method", ["initialize", "ping", "server/discover", "subscriptions/listen"])
async def test_what_belongs_to_an_era_is_not_passed_on(method: str) -> None:
    assert (await refused(two(), method, {}, scope=only("a"))).code == -32601


async def test_what_nobody_here_knows_goes_to_a_single_server_only() -> None:
    rig = two()
    assert await rig.ask("vendor/do", {"x": 1}, scope=only("a")) == {"said": ["vendor/do", {"x": 1}]}
    assert (await refused(rig, "vendor/do", {"x": 1})).code == -32601


async def test_a_single_server_that_the_caller_may_not_use_is_not_there() -> None:
    rig = two()
    with pytest.raises(Unseen):
        await rig.ask("tools/call", {"name": "go"}, scope=only("a"), asking=rig.someone(nobody()))


async def test_errors_of_a_server_are_passed_on_as_they_are() -> None:
    rig = two(LEGACY)
    rig.by_id["a"].answers["tools/call"] = RpcError(-31999, "mine", {"why": [1]})
    error = await refused(rig, "tools/call", {"name": "a__go"})
    assert (error.code, error.message, error.data) == (-31999, "mine", {"why": [1]})
