from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.providers.dialects.anthropic import golden

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.anthropic import read_request
from pointsman.wire.chat import ChatRequest

MESSAGES = [{"role": "user", "content": "Hi"}]


def read(**members: Any) -> ChatRequest:
    return read_request(msgspec.json.encode({"messages": MESSAGES} | members))


@pytest.mark.requirement("anthropic.inbound")
@pytest.mark.parametrize("path", golden.cases("requests_in"), ids=lambda path: path.stem)
def test_a_clients_request_is_read_as_recorded(path: Path) -> None:
    case = golden.load(path)
    assert read_request(msgspec.json.encode(case["native"])) == golden.request(case["canonical"])


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "system", "content": [{"type": "image"}]}]}, "messages[0].content[0].type"),
        ({"model": 7}, "model"),
        ({"max_tokens": "7"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": True}, "top_p"),
        ({"stream": 1}, "stream"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"tools": [{}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "f", "input_schema": {}, "strict": "yes"}]}, "tools[0].strict"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"budget_tokens": 1}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
        ({"cache_control": "yes"}, "cache_control"),
    ],
)
def test_what_is_not_valid_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b'{"a": "\xff"}', b'{"a":' * 5000])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_request(body)


def test_null_is_as_good_as_nothing() -> None:
    assert (
        read(
            system=None, tools=None, temperature=None, thinking=None, metadata=None, container=None, stop_sequences=None
        )
        == read()
    )


def test_parallel_calls_are_the_reverse_of_their_being_disabled() -> None:
    choices = [{"type": "auto", "disable_parallel_tool_use": given} for given in (True, False)]
    assert [read(tool_choice=choice).parallel_tool_calls for choice in choices] == [False, True]
    assert read(tool_choice={"type": "auto"}).parallel_tool_calls is None


def test_a_whole_number_is_a_number() -> None:
    assert read(temperature=1).temperature == 1.0
