"""MCP servers among the tools of a request to a model: OpenAI's SDK before the gateway, a scripted model behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import APIError, OpenAI, Stream
from system.conftest import MASTER_KEY, UPSTREAM_KEY
from system.mcp.model import Model, Round
from system.mcp.running import Everything
from system.mcp.scripted import ScriptedServer
from system.process import Gateway
from system.scripted import until
from system.upstream.script import End, error_answer
from system.upstream.server import FakeUpstream

TOOL: Any = {"type": "mcp", "server_label": "depot", "server_url": "gateway/depot", "require_approval": "never"}
OWN: Any = {"type": "function", "function": {"name": "own", "parameters": {"type": "object", "properties": {}}}}
OWN_RESPONSE: Any = {"type": "function", "name": "own", "parameters": {"type": "object", "properties": {}}}
QUESTION: Any = [{"role": "user", "content": "Say A and B."}]
ECHOES = (("depot__echo", '{"text": "A"}'), ("depot__echo", '{"text": "B"}'))
PRICE = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}


class Scene:
    """A gateway between an SDK, a model and a server."""

    def __init__(self, gateway: Gateway, model: Model, mcp: ScriptedServer, upstream: FakeUpstream) -> None:
        self.gateway = gateway
        self.model = model
        self.mcp = mcp
        self.upstream = upstream
        self.sdk = OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20)

    def plan(self, *rounds: Round) -> None:
        """What the model answers next."""
        self.model.rounds[:] = rounds
        self.model.asked.clear()


def config(upstream: str, servers: Mapping[str, Any], **mcp: Any) -> str:
    parameters = {"model": "openai/gpt-4o", "api_base": upstream, "api_key": UPSTREAM_KEY} | PRICE
    document = {
        "model_list": [
            {"model_name": "house", "litellm_params": parameters},
            {
                "model_name": "chatty",
                "litellm_params": parameters | {"model": "openai/chat-only"},
                "model_info": {"mode": "chat"},
            },
            {"model_name": "routed", "litellm_params": {"model": "router/smallest", "candidates": ["house", "chatty"]}},
        ],
        "mcp_servers": servers,
        "mcp": mcp,
        "router_settings": {"num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
    }
    return json.dumps(document)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    model = Model()
    with ScriptedServer() as mcp, FakeUpstream(model.answer) as upstream:
        mcp.tools.append({"name": "hang", "inputSchema": {"type": "object"}})
        mcp.behaviours["hang"] = mcp.hang
        servers = {"depot": {"url": mcp.url, "transport": "http"}}
        text = config(upstream.base_url, servers, max_rounds=4, max_tool_bytes=50)
        with Gateway(tmp_path_factory.mktemp("chat"), text) as gateway:
            gateway.key = MASTER_KEY
            yield Scene(gateway, model, mcp, upstream)


def two_rounds() -> tuple[Round, Round]:
    return Round("Let me see.", ECHOES), Round("It is A and B.")


def until_error(stream: Iterable[Any]) -> tuple[list[Any], Exception | None]:
    """What has come of a stream, and the error that ended it."""
    got = []
    try:
        for one in stream:
            got.append(one)  # noqa: PERF402  what has come is kept if more does not
    except APIError as error:
        return got, error
    return got, None


# -- chat -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("mcp.from-chat")
def test_a_chat_is_answered_with_what_tools_have_said(scene: Scene) -> None:
    scene.plan(*two_rounds())
    raw = scene.sdk.chat.completions.with_raw_response.create(model="house", messages=QUESTION, tools=[TOOL])
    got = raw.parse()
    assert got.choices[0].message.content == "Let me see.\n\nIt is A and B."
    assert (got.choices[0].finish_reason, got.choices[0].message.tool_calls) == ("stop", None)
    assert [one["content"] for one in scene.model.asked[1]["messages"][-2:]] == ["A", "B"]
    assert raw.headers["x-pointsman-mcp"] == "rounds=2 calls=2"


@pytest.mark.requirement("mcp.from-chat-metering")
def test_usage_and_cost_are_those_of_all_rounds(scene: Scene) -> None:
    scene.plan(*two_rounds())
    raw = scene.sdk.chat.completions.with_raw_response.create(model="house", messages=QUESTION, tools=[TOOL])
    usage = raw.parse().usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (22, 12, 34)
    # That of the last round, and of the one before it.
    assert float(raw.headers["x-litellm-response-cost"]) == 2 * float(raw.headers["x-pointsman-asks-cost"]) > 0


@pytest.mark.requirement("mcp.from-chat")
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_routed_model_stays_with_whom_it_has_chosen(scene: Scene, is_stream: bool) -> None:
    def requests() -> float:
        lines = scene.gateway.get("/metrics").body.decode().splitlines()
        name = 'litellm_proxy_total_requests_metric_total{requested_model="routed"'
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    scene.plan(*two_rounds())
    before = requests()
    got = scene.sdk.chat.completions.create(model="routed", messages=QUESTION, tools=[TOOL], stream=is_stream)
    if isinstance(got, Stream):
        list(got)
    assert len({one["model"] for one in scene.model.asked}) == 1
    assert len(scene.model.asked) == 2
    assert requests() == before + 1


@pytest.mark.requirement("mcp.from-chat-stream")
def test_a_streamed_chat_is_one_message_with_one_reason(scene: Scene) -> None:
    scene.plan(*two_rounds())
    with scene.sdk.chat.completions.stream(
        model="house", messages=QUESTION, tools=[TOOL], stream_options={"include_usage": True}
    ) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        final = stream.get_final_completion()
    reasons = [one.choices[0].finish_reason for one in chunks if one.choices and one.choices[0].finish_reason]
    assert reasons == ["stop"]
    assert len({one.id for one in chunks}) == 1
    assert final.choices[0].message.content == "Let me see. \n\nIt is A and B. "
    assert not final.choices[0].message.tool_calls
    assert final.usage is not None
    assert final.usage.total_tokens == 34


@pytest.mark.requirement("mcp.from-chat-mixed")
@pytest.mark.parametrize("is_stream", [False, True])
def test_calls_of_the_client_are_handed_back_and_the_rounds_before_are_not_lost(scene: Scene, is_stream: bool) -> None:
    scene.plan(Round("Hm.", ECHOES[:1]), Round("Both.", (ECHOES[1], ("own", "{}"))))
    tools = [TOOL, OWN]
    if is_stream:
        with scene.sdk.chat.completions.stream(model="house", messages=QUESTION, tools=tools) as stream:
            got = stream.get_final_completion()
    else:
        got = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=tools)  # type: ignore[assignment]
    message = got.choices[0].message
    assert got.choices[0].finish_reason == "tool_calls"
    [call] = message.tool_calls or []
    answer: Any = {"role": "tool", "tool_call_id": call.id, "content": "mine"}
    scene.plan(Round("Done."))
    messages: Any = [*QUESTION, message, answer]
    again = scene.sdk.chat.completions.create(model="house", messages=messages, tools=tools)
    assert again.choices[0].message.content == "Done."
    roles = [one["role"] for one in scene.model.asked[0]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant", "tool"]


@pytest.mark.requirement("mcp.from-chat-approval")
def test_calls_that_have_to_be_approved_are_handed_to_the_client_of_a_chat(scene: Scene) -> None:
    scene.plan(Round("", ECHOES[:1]))
    before = scene.mcp.calls("tools/call")
    tool = TOOL | {"require_approval": "always"}
    got = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[tool])
    [call] = got.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "depot__echo"
    assert scene.mcp.calls("tools/call") == before


@pytest.mark.requirement("mcp.from-chat-limits")
def test_a_model_that_calls_for_ever_is_asked_so_often_and_no_more(scene: Scene) -> None:
    scene.plan(*[Round("Again.", ECHOES[:1])] * 9)
    got = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])
    assert (len(scene.model.asked), scene.model.asked[3]["tool_choice"]) == (4, "none")
    assert (got.choices[0].finish_reason, got.choices[0].message.tool_calls) == ("length", None)


@pytest.mark.requirement("mcp.from-chat-limits")
def test_a_long_answer_of_a_tool_is_cut_and_says_so(scene: Scene) -> None:
    scene.plan(Round("", [("depot__echo", json.dumps({"text": "x" * 80}))]), Round("Long."))
    scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])
    assert scene.model.asked[1]["messages"][-1]["content"] == "x" * 50 + "\n[cut here: 30 more bytes]"


@pytest.mark.requirement("mcp.from-chat-stream")
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_failure_before_the_first_byte_is_a_real_one(scene: Scene, is_stream: bool) -> None:
    refusal = error_answer(429, "slow down", kind="rate_limit_error")
    for rounds in ([Round(instead=refusal)], [Round("", ECHOES[:1]), Round(instead=refusal)]):
        scene.plan(*rounds)
        if len(rounds) > 1 and is_stream:
            # Then the client was told of the call already.
            break
        with pytest.raises(openai.RateLimitError):
            scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL], stream=is_stream)


@pytest.mark.requirement("mcp.from-chat-stream")
@pytest.mark.parametrize(
    "rounds",
    [
        [Round("Let me see.", ECHOES), Round(instead=error_answer(500, "broken", kind="server_error"))],
        [Round("Let me see.", ECHOES), Round("It is", steps=[End.CUT])],
    ],
)
def test_a_failure_after_it_is_an_error_event_and_no_clean_end(scene: Scene, rounds: list[Round]) -> None:
    scene.plan(*rounds)
    stream = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL], stream=True)
    got, error = until_error(stream)
    assert isinstance(error, APIError)
    assert not any(choice.finish_reason for one in got for choice in one.choices)


@pytest.mark.requirement("mcp.from-chat-cancel")
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_client_that_leaves_ends_the_tool(scene: Scene, is_stream: bool) -> None:
    scene.mcp.left.clear()
    calls = scene.mcp.calls("tools/call")
    scene.plan(Round("Wait.", [("depot__hang", "{}")]))
    patient = scene.sdk.with_options(timeout=1.0)
    with suppress(openai.APITimeoutError):
        got = patient.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL], stream=is_stream)
        assert isinstance(got, Stream)
        next(iter(got))
        # The stream tells of a call before its server has it.
        until(lambda: scene.mcp.calls("tools/call") > calls)
        got.close()
    assert scene.mcp.left.wait(10)
    assert len(scene.model.asked) == 1


@pytest.mark.requirement("mcp.from-chat-cancel")
def test_a_client_that_leaves_ends_the_model(scene: Scene) -> None:
    gate = scene.upstream.gate()
    scene.plan(Round("Let me see.", ECHOES), Round("It is A.", steps=[gate]))
    stream = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL], stream=True)
    text = ""
    for one in stream:
        text += (one.choices[0].delta.content or "") if one.choices else ""
        if "It" in text:
            break
    stream.close()
    assert scene.upstream.request("gpt-4o").closed.wait(10)


# -- responses ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("mcp.from-responses")
@pytest.mark.parametrize("model", ["house", "chatty"])
def test_a_response_has_the_items_that_it_has_at_openai(scene: Scene, model: str) -> None:
    scene.plan(*two_rounds())
    got = scene.sdk.responses.create(model=model, input="Say A and B.", tools=[TOOL])
    assert [one.type for one in got.output] == ["mcp_list_tools", "message", "mcp_call", "mcp_call", "message"]
    assert [one.output for one in got.output if one.type == "mcp_call"] == ["A", "B"]
    assert got.output_text == "Let me see.It is A and B."
    assert got.usage is not None
    assert got.usage.total_tokens == 34


@pytest.mark.requirement("mcp.from-responses-stream")
@pytest.mark.parametrize("model", ["house", "chatty"])
def test_a_streamed_response_has_one_life(scene: Scene, model: str) -> None:
    scene.plan(*two_rounds())
    with scene.sdk.responses.stream(model=model, input="Say A and B.", tools=[TOOL]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [one.type for one in events]
    assert kinds[0] == "response.created"
    assert (kinds[-1], kinds.count("response.completed"), kinds.count("response.created")) == (
        "response.completed",
        1,
        1,
    )
    assert {"response.mcp_list_tools.completed", "response.mcp_call.completed", "response.mcp_call_arguments.done"} <= {
        *kinds
    }
    assert [one.type for one in final.output] == ["mcp_list_tools", "message", "mcp_call", "mcp_call", "message"]


@pytest.mark.requirement("mcp.from-responses-stream")
def test_events_are_numbered_from_the_first_to_the_last(scene: Scene) -> None:
    scene.plan(*two_rounds())
    events = list(scene.sdk.responses.create(model="house", input="Say A and B.", tools=[TOOL], stream=True))
    assert [one.sequence_number for one in events] == list(range(len(events)))


@pytest.mark.requirement("mcp.from-chat-mixed")
def test_what_the_client_gives_back_as_input_goes_on_where_it_was(scene: Scene) -> None:
    scene.plan(Round("Both.", (ECHOES[0], ("own", "{}"))))
    tools = [TOOL, OWN_RESPONSE]
    got = scene.sdk.responses.create(model="house", input="Say A.", tools=tools)
    call = next(one for one in got.output if one.type == "function_call")
    items: Any = [{"role": "user", "content": "Say A."}, *(one.to_dict() for one in got.output)]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "mine"})
    scene.plan(Round("Done."))
    again = scene.sdk.responses.create(model="house", input=items, tools=tools)
    assert [one.type for one in again.output] == ["message"]
    kinds = [one.get("type") for one in scene.model.asked[0]["input"]]
    assert sorted(kind for kind in kinds if kind and kind != "message") == [
        *["function_call"] * 2,
        *["function_call_output"] * 2,
    ]


@pytest.mark.requirement("mcp.from-chat-approval")
@pytest.mark.parametrize(("approve", "said"), [(True, "A"), (False, "not approved")])
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_call_is_made_when_the_user_has_approved_it(scene: Scene, *, approve: bool, said: str, is_kept: bool) -> None:
    tool = TOOL | {"require_approval": {"always": {"tool_names": ["echo"]}}}
    scene.plan(Round("", ECHOES[:1]))
    before = scene.mcp.calls("tools/call")
    got = scene.sdk.responses.create(model="house", input="Say A.", tools=[tool])
    request = got.output[-1]
    assert request.type == "mcp_approval_request"
    assert scene.mcp.calls("tools/call") == before
    answer = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
    scene.plan(Round("Done."))
    items: Any = [answer] if is_kept else [{"role": "user", "content": "Say A."}, request.to_dict(), answer]
    more: dict[str, Any] = {"previous_response_id": got.id} if is_kept else {}
    again = scene.sdk.responses.create(model="house", input=items, tools=[tool], **more)
    assert again.output_text == "Done."
    assert scene.mcp.calls("tools/call") == before + approve
    assert said in scene.model.asked[0]["input"][-1]["output"]


@pytest.mark.requirement("mcp.from-responses-stream")
def test_who_goes_on_from_a_stream_is_where_it_has_ended(scene: Scene) -> None:
    scene.plan(*two_rounds())
    with scene.sdk.responses.stream(model="house", input="Say A and B.", tools=[TOOL]) as stream:
        final = stream.get_final_response()
    scene.plan(Round("More."))
    scene.sdk.responses.create(model="house", input="More?", tools=[TOOL], previous_response_id=final.id)
    assert (final.id, scene.model.asked[0]["previous_response_id"]) == ("resp_1", "resp_2")


@pytest.mark.requirement("mcp.from-responses-stream")
def test_a_response_that_fails_in_a_later_round_ends_in_an_error(scene: Scene) -> None:
    scene.plan(Round("Let me see.", ECHOES), Round(instead=error_answer(500, "broken", kind="server_error")))
    got, error = until_error(scene.sdk.responses.create(model="house", input="Say A.", tools=[TOOL], stream=True))
    assert isinstance(error, APIError)
    assert "response.completed" not in [one.type for one in got]


# -- whose servers --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("mcp.from-chat-permission")
def test_a_key_calls_what_it_may_and_nothing_else_is_there(scene: Scene) -> None:
    made = scene.gateway.post("/key/generate", {"models": ["house"]}).json["key"]
    other = OpenAI(base_url=f"{scene.gateway.base_url}/v1", api_key=made, max_retries=0)
    with pytest.raises(openai.BadRequestError, match="depot not found"):
        other.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])
    may = {"mcp_servers": ["depot"], "mcp_tool_permissions": {"depot": ["hang"]}}
    made = scene.gateway.post("/key/generate", {"models": ["house"], "object_permission": may}).json["key"]
    scene.plan(Round("None."))
    OpenAI(base_url=f"{scene.gateway.base_url}/v1", api_key=made).chat.completions.create(
        model="house", messages=QUESTION, tools=[TOOL]
    )
    assert [one["function"]["name"] for one in scene.model.asked[0]["tools"]] == ["depot__hang"]


@pytest.mark.requirement("mcp.from-chat-permission")
def test_a_key_for_other_paths_has_no_tools_called(scene: Scene) -> None:
    terms = {"models": ["house"], "object_permission": {"mcp_servers": ["depot"]}}
    made = scene.gateway.post("/key/generate", terms | {"allowed_routes": ["/v1/chat/completions"]}).json["key"]
    other = OpenAI(base_url=f"{scene.gateway.base_url}/v1", api_key=made, max_retries=0)
    with pytest.raises(openai.PermissionDeniedError, match="/mcp"):
        other.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])


@pytest.mark.requirement("mcp.from-chat-metering")
def test_tools_use_the_slot_of_their_chat(scene: Scene) -> None:
    terms = {"models": ["house"], "object_permission": {"mcp_servers": ["depot"]}, "max_parallel_requests": 1}
    made = scene.gateway.post("/key/generate", terms).json["key"]
    scene.plan(*two_rounds())
    OpenAI(base_url=f"{scene.gateway.base_url}/v1", api_key=made, max_retries=0).chat.completions.create(
        model="house", messages=QUESTION, tools=[TOOL]
    )
    assert [one["content"] for one in scene.model.asked[1]["messages"][-2:]] == ["A", "B"]


@pytest.mark.requirement("mcp.from-chat")
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_is_nested_too_deep_is_for_the_model_to_mend(scene: Scene, is_stream: bool) -> None:
    deep = "[" * 2000 + "]" * 2000
    scene.plan(Round("", [("depot__echo", f'{{"text": {deep}}}')]), Round("Sorry."))
    got = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL], stream=is_stream)
    if isinstance(got, Stream):
        assert list(got)[-1].choices[0].finish_reason == "stop"
    assert scene.model.asked[1]["messages"][-1]["content"].startswith("Error: the arguments")


@pytest.mark.requirement("mcp.from-chat-metering")
def test_rounds_and_tools_are_written_down_for_the_key(scene: Scene) -> None:
    may = {"mcp_servers": ["depot"]}
    made = scene.gateway.post("/key/generate", {"models": ["house"], "object_permission": may, "max_budget": 10}).json
    scene.plan(*two_rounds())
    OpenAI(base_url=f"{scene.gateway.base_url}/v1", api_key=made["key"]).chat.completions.create(
        model="house", messages=QUESTION, tools=[TOOL]
    )

    rows: list[dict[str, Any]] = []

    def is_written() -> bool:
        rows[:] = scene.gateway.get(f"/spend/logs?api_key={made['token']}").json
        return len(rows) == 4

    until(is_written)
    assert sorted(one["model_group"] for one in rows) == ["house", "house", "mcp:depot/echo", "mcp:depot/echo"]
    assert len({one["request_id"] for one in rows}) == 1
    assert sorted(one["attempt"] for one in rows if one["model_group"] == "house") == [1, 2]


@pytest.mark.requirement("mcp.from-chat-foreign")
def test_a_server_that_is_not_of_this_gateway_is_called_only_where_that_is_allowed(
    scene: Scene, tmp_path: Path
) -> None:
    tool = TOOL | {"server_url": scene.mcp.url}
    with pytest.raises(openai.BadRequestError, match="allow_foreign_servers"):
        scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[tool])
    scene.plan(Round("Yours."))
    scene.sdk.responses.create(model="house", input="hi", tools=[tool])
    assert scene.model.asked[0]["tools"][0]["server_url"] == scene.mcp.url
    text = config(scene.upstream.base_url, {}, allow_foreign_servers=True, allowed_private=["127.0.0.1"])
    with Gateway(tmp_path, text) as gateway, OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY) as sdk:
        scene.plan(*two_rounds())
        got = sdk.chat.completions.create(model="house", messages=QUESTION, tools=[tool])
        assert got.choices[0].message.content == "Let me see.\n\nIt is A and B."


@pytest.mark.requirement("mcp.from-chat")
def test_rounds_are_kept_as_other_answers_are(scene: Scene, tmp_path: Path) -> None:
    servers = {"depot": {"url": scene.mcp.url, "transport": "http"}}
    document = json.loads(config(scene.upstream.base_url, servers))
    document["litellm_settings"] = {"cache": True, "cache_params": {"type": "local"}}
    with (
        Gateway(tmp_path, json.dumps(document)) as gateway,
        OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0) as sdk,
    ):
        scene.plan(*two_rounds())
        for _ in range(2):
            got = sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])
            assert got.choices[0].message.content == "Let me see.\n\nIt is A and B."
        assert len(scene.model.asked) == 2
        scene.plan(*two_rounds())
        response = sdk.responses.create(model="house", input="Say A and B.", tools=[TOOL])
        assert [one.type for one in response.output].count("mcp_call") == 2


@pytest.mark.requirement("mcp.from-chat")
@pytest.mark.parametrize("kind", ["dual", "legacy", "modern"])
def test_the_official_server_is_called_in_whatever_era_it_speaks(
    everything_servers: Mapping[Everything, str], kind: Everything, tmp_path: Path
) -> None:
    model = Model()
    servers = {"depot": {"url": everything_servers[kind], "transport": "http"}}
    with (
        FakeUpstream(model.answer) as upstream,
        Gateway(tmp_path, config(upstream.base_url, servers)) as gateway,
        OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk,
    ):
        model.rounds[:] = [Round("", [("depot__test_simple_text", "{}"), ("depot__test_error_handling", "{}")])]
        got = sdk.responses.create(model="house", input="Try.", tools=[TOOL])
        calls = [one for one in got.output if one.type == "mcp_call"]
        assert [one.status for one in calls] == ["completed", "failed"]
        assert "simple text" in (calls[0].output or "")


@pytest.mark.requirement("mcp.from-chat")
def test_many_requests_at_a_time_keep_their_rounds_apart(scene: Scene) -> None:
    scene.plan()
    texts: list[str | None] = []

    def ask() -> None:
        got = scene.sdk.chat.completions.create(model="house", messages=QUESTION, tools=[TOOL])
        texts.append(got.choices[0].message.content)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert texts == ["That is all."] * 8
