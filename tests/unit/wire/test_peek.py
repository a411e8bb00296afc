from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from pointsman.errors import InvalidRequest
from pointsman.wire import operations
from pointsman.wire.operations import Operation
from pointsman.wire.peek import (
    Peek,
    ask_for_usage,
    insert_fields,
    operators_field,
    peek,
    read_members,
    set_model,
    splice_model,
    tags_of,
)

CHAT = operations.CHAT

texts = st.text(st.sampled_from('"\\{}[]: model') | st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("model") | texts, inner, max_size=3),
    max_leaves=8,
)
members = st.dictionaries(texts, values, max_size=4).map(
    lambda found: {name: value for name, value in found.items() if name not in {"model", "messages"}}
)


def refusal(operation: Operation, body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        peek(operation, body)
    return caught.value


def last_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


def test_the_deciding_fields_are_read() -> None:
    body = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"x":1},"user":"u","z":[]}'
    assert peek(CHAT, body) == Peek("m", True, True, "u", (9, 12), True)


def test_members_for_the_gateway_are_kept_unread_and_a_null_is_one() -> None:
    wishes = peek(CHAT, b'{"messages":[],"timeout":"soon","num\\u005fretries":null,"metadata":{"a":1}}').wishes
    assert wishes is not None
    assert (wishes.timeout, wishes.num_retries, wishes.metadata) == (Raw(b'"soon"'), Raw(b"null"), Raw(b'{"a":1}'))
    assert (wishes.tags, wishes.fallbacks) == (UNSET, UNSET)


@pytest.mark.parametrize(
    ("metadata", "tags"),
    [
        (b'{"a":1, "tags" : [ "x" ]}', Raw(b'[ "x" ]')),
        (b'{"tags":["x"],"t\\u0061gs":[]}', Raw(b"[]")),
        (b'{"tags":"x"}', None),
        (b'{"tags":null}', None),
        (b"{}", None),
        (b"null", None),
        (b'[{"tags":[]}]', None),
    ],
)
def test_tags_of_metadata_are_the_gateways_when_they_are_a_list(metadata: bytes, tags: Raw | None) -> None:
    assert tags_of(Raw(metadata)) == tags
    assert (peek(CHAT, b'{"messages":[],"metadata":%b}' % metadata).wishes is not None) == (tags is not None)


@pytest.mark.parametrize(
    ("operation", "members", "names"),
    [
        (CHAT, b'"messages":[],"tools":[{"type":"mcp","server_url":"gateway"}]', True),
        (operations.RESPONSES, b'"tools":[{"type":"mcp","server_url":"gateway"}]', True),
        (CHAT, b'"messages":[{"role":"user","content":"\\"server_url\\""}],"tools":[]', False),
        (CHAT, b'"messages":[{"server_url":"gateway"}]', False),
        (CHAT, b'"messages":[],"tools":[{"type":"mcp","connector_id":"c"}]', False),
        (operations.MESSAGES, b'"messages":[],"mcp_servers":[]', True),
        (operations.MESSAGES, b'"messages":[],"tools":[]', False),
        (operations.MESSAGES, b'"messages":[]', False),
    ],
)
def test_it_is_seen_where_a_tool_may_be_a_server(operation: Operation, members: bytes, names: bool) -> None:
    assert peek(operation, b'{"model":"m",%b}' % members).names_servers is names


def test_members_are_read_by_name_the_last_of_each() -> None:
    assert read_members(b'{"a": 1.0, "b":[ ], "\\u0061": 2}') == {"a": Raw(b"2"), "b": Raw(b"[ ]")}
    with pytest.raises(InvalidRequest):
        read_members(b"[]")


def test_a_member_that_is_the_operators_is_named_in_its_refusal() -> None:
    error = operators_field("api_base")
    assert error.param == "api_base"
    assert "'api_base'" in error.message


def test_null_optionals_count_as_absent() -> None:
    body = b'{"model":null,"messages":[],"stream":null,"stream_options":null,"user":null,"api_key":null}'
    assert peek(CHAT, body) == Peek(None, has_stream_options=True)
    assert peek(CHAT, b'{"messages":[]}') == Peek(None)


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        (CHAT, b"[]", None),
        (CHAT, b'"x"', None),
        (CHAT, b"null", None),
        (CHAT, b"7", None),
        (CHAT, b"{}", "messages"),
        (CHAT, b'{"messages":7}', "messages"),
        (CHAT, b'{"messages":null}', "messages"),
        (CHAT, b'{"messages":{}}', "messages"),
        (CHAT, b'{"messages":[],"model":5}', "model"),
        (CHAT, b'{"messages":[],"stream":"yes"}', "stream"),
        (CHAT, b'{"messages":[],"stream_options":[]}', "stream_options"),
        (CHAT, b'{"messages":[],"stream_options":{"include_usage":1}}', "stream_options.include_usage"),
        (CHAT, b'{"messages":[],"user":{}}', "user"),
        (CHAT, b'{"messages":[],"api_base":"http://x"}', "api_base"),
        (CHAT, b'{"messages":[],"base_url":"http://x"}', "base_url"),
        (CHAT, b'{"messages":[],"api_key":"k"}', "api_key"),
        (operations.COMPLETION, b'{"model":"m"}', "prompt"),
        (operations.RESPONSES, b'{"model":"m","input":7}', "input"),
        (operations.EMBEDDINGS, b'{"model":"m"}', "input"),
        (operations.EMBEDDINGS, b'{"input":{}}', "input"),
        (operations.IMAGE_GENERATION, b'{"prompt":[]}', "prompt"),
        (operations.SPEECH, b'{"input":["a"]}', "input"),
        (operations.MODERATION, b"{}", "input"),
        (operations.RERANK, b'{"documents":[]}', "query"),
        (operations.RERANK, b'{"query":"q"}', "documents"),
        (operations.RERANK, b'{"query":"q","documents":"d"}', "documents"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_with_the_field_at_fault(
    operation: Operation, body: bytes, param: str | None
) -> None:
    error = refusal(operation, body)
    assert error.param == param
    assert error.status == 400
    assert (param or "JSON object") in error.message


def test_the_message_says_what_was_expected() -> None:
    assert refusal(CHAT, b'{"messages":[],"model":5}').message == "Invalid 'model': expected str or null, got int"
    assert refusal(CHAT, b'{"messages":7}').message == "Invalid 'messages': expected an array"
    assert refusal(CHAT, b"").message == refusal(CHAT, b" \n").message
    assert "empty" in refusal(CHAT, b"").message


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b'{"messages":[1,}', 15),
        (b'{"messages":[]} x', 16),
        (b'{"messages":[]', 14),
        (b'{"model":"m","messages":[tru]}', 26),
        (b'\xef\xbb\xbf{"messages":[]}', 0),
        (b'{"messages":["\xff"]}', 14),
        (b'{"messages":["\xed\xa0\x80"]}', 14),
    ],
)
def test_broken_json_is_refused_with_the_byte_where_it_breaks(body: bytes, at: int) -> None:
    assert refusal(CHAT, body).message.endswith(f"at byte {at}")


@pytest.mark.parametrize("levels", [64, 500, 200_000])
def test_deep_nesting_is_refused_whole_or_broken(levels: int) -> None:
    closed = b'{"messages":' + b"[" * levels + b"]" * levels + b"}"
    assert "nested" in refusal(CHAT, closed).message
    unread = b'{"messages":[],"model":"m","z":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    assert "nested" in refusal(CHAT, unread).message
    assert refusal(CHAT, b'{"messages":' + b"[" * levels).status == 400


def test_nesting_up_to_the_limit_is_accepted() -> None:
    peek(CHAT, b'{"messages":' + b"[" * 63 + b"]" * 63 + b"}")


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (operations.COMPLETION, b'{"prompt":[1,2]}'),
        (operations.RESPONSES, b'{"previous_response_id":"r"}'),
        (operations.RESPONSES, b'{"input":"x"}'),
        (operations.EMBEDDINGS, b'{"input":[[1,2],[3]]}'),
        (operations.IMAGE_GENERATION, b'{"prompt":"p"}'),
        (operations.SPEECH, b'{"input":"x"}'),
        (operations.MODERATION, b'{"input":[{}]}'),
        (operations.RERANK, b'{"query":"q","documents":[]}'),
    ],
)
def test_each_operation_takes_its_own_shapes(operation: Operation, body: bytes) -> None:
    assert peek(operation, body).model is None


def test_every_json_operation_can_be_peeked_at() -> None:
    for operation in operations.OPERATIONS:
        if not operation.is_multipart:
            refusal(operation, b"[]")


def test_the_last_model_of_a_body_that_has_two_is_what_counts() -> None:
    for body in (
        b'{"model":"a","messages":[],"model":"b"}',
        b'{"model":"a","messages":[],"mod\\u0065l":"b"}',
        b'{"mod\\u0065l":"a","messages":[],"model":"b"}',
    ):
        seen = peek(CHAT, body)
        assert (seen.model, seen.model_span) == ("b", None)
        spliced = splice_model(body, seen.model, "new", seen.model_span)
        assert json.loads(spliced, object_pairs_hook=list) == [("model", "new"), ("messages", [])]


def test_a_model_among_very_many_namesakes_is_still_replaced() -> None:
    body = json.dumps({"messages": [{"model": "n"}] * 2000, "model": "m", "tools": [{"model": "n"}] * 2000}).encode()
    seen = peek(CHAT, body)
    assert seen.model == "m"
    assert json.loads(splice_model(body, "m", "new", seen.model_span)) == {**json.loads(body), "model": "new"}


def test_a_renamed_twin_does_not_pass_for_the_model() -> None:
    body = b'{"-----":"a","messages":[{"model":"n"}],"mod\\u0065l":"b"}'
    assert peek(CHAT, body).model == "b"
    assert json.loads(splice_model(body, "b", "new"))["model"] == "new"


def test_a_body_with_its_one_model_unchanged_is_the_same_object() -> None:
    for body in (
        b'{"model":"m","messages":[]}',
        b'{"tools":[{"model":"x"}],"model":"m","messages":[{"model":"m"}]}',
    ):
        assert splice_model(body, "m", "m") is body
        assert splice_model(body, "m", "m", peek(CHAT, body).model_span) is body
    twice = b'{"model":"m","model":"m"}'
    assert splice_model(twice, "m", "m") == b'{"model":"m"}'


def test_all_other_bytes_stay_when_the_model_is_spliced() -> None:
    body = '{ "a" : "\\"model\\": \\"é\\"", "model"\t:\n"old\\u0041" , "b":[{"model":"old"}]}'.encode()
    assert splice_model(body, "oldA", 'n"w') == body.replace(b'"old\\u0041"', b'"n\\"w"')


@given(members, values, texts, texts, st.booleans(), st.integers(0, 4))
def test_splicing_changes_the_model_and_nothing_else(
    extra: dict[str, Any], nested: Any, old: str, new: str, is_ascii: bool, place: int
) -> None:
    pairs = [*extra.items(), ("messages", [nested])]
    pairs.insert(place, ("model", old))
    body = json.dumps(dict(pairs), ensure_ascii=is_ascii).encode()
    seen = peek(CHAT, body)
    assert seen.model == old
    assert seen.model_span is not None
    for spliced in (splice_model(body, old, new, seen.model_span), splice_model(body, old, new)):
        assert json.loads(spliced) == {**json.loads(body), "model": new}
        assert len(spliced) - len(body) == len(spliced[slice(*peek(CHAT, spliced).model_span or ())]) - (
            seen.model_span[1] - seen.model_span[0]
        )


@given(st.lists(st.tuples(st.sampled_from(["model", "x", "messages"]), st.sampled_from(["a", "b"])), max_size=5))
def test_of_several_models_one_is_left(pairs: list[tuple[str, str]]) -> None:
    body = ("{" + ",".join(f'"{name}":"{value}"' for name, value in pairs) + "}").encode()
    spliced = json.loads(splice_model(body, None, "new"), object_pairs_hook=list)
    assert [value for name, value in spliced if name == "model"] == ["new"]
    assert last_of_each(spliced) == {**last_of_each(pairs), "model": "new"}


def test_a_model_is_put_into_a_body_without_one() -> None:
    assert set_model(b"{}", "m") == b'{"model":"m"}'
    assert set_model(b' { "a": 1 }', "m") == b'{"model":"m","a": 1 }'
    assert set_model(b'{"model":null,"a":1}', "m") == b'{"model":"m","a":1}'
    with pytest.raises(InvalidRequest):
        set_model(b"[]", "m")


def test_a_model_that_cannot_be_found_in_broken_json_is_refused() -> None:
    for body in (b'{"model":"a"', b"[", b'{"model":"a",' + b'"z":[' * 2000):
        with pytest.raises(InvalidRequest):
            splice_model(body, "a", "b")


@given(members, members, members)
def test_defaults_fill_gaps_and_overrides_always_win(
    given_fields: dict[str, Any], defaults: dict[str, Any], overrides: dict[str, Any]
) -> None:
    body = json.dumps(given_fields).encode()
    assert json.loads(insert_fields(body, defaults, overrides)) == {**defaults, **given_fields, **overrides}


def test_nothing_to_insert_gives_the_same_object() -> None:
    body = b'{"temperature":null}'
    assert insert_fields(body, {}, {}) is body
    assert insert_fields(body, {"temperature": 1}, {}) is body


def test_values_keep_their_bytes_when_fields_are_inserted() -> None:
    body = b'{"x": 1.10, "y": [1e2],"seed":1}'
    assert insert_fields(body, {"a": 1}, {}) == b'{"a":1,"x": 1.10, "y": [1e2],"seed":1}'
    assert insert_fields(body, {}, {"seed": 2}) == b'{"x":1.10,"y":[1e2],"seed":2}'


def test_asking_for_usage_keeps_the_other_stream_options() -> None:
    wanted = {"include_usage": True}
    assert json.loads(ask_for_usage(b'{"a":1}')) == {"a": 1, "stream_options": wanted}
    assert json.loads(ask_for_usage(b'{"a":1}', has_stream_options=False)) == {"a": 1, "stream_options": wanted}
    assert json.loads(ask_for_usage(b'{"stream_options":null}')) == {"stream_options": wanted}
    body = b'{"stream_options":{"include_usage":false,"x":[1]}}'
    assert json.loads(ask_for_usage(body)) == {"stream_options": {**wanted, "x": [1]}}


@given(st.binary(max_size=60) | st.text('{}[]",:model\\u0 1', max_size=60).map(str.encode))
def test_no_body_whatever_breaks_the_reader(body: bytes) -> None:
    try:
        seen = peek(CHAT, body)
    except InvalidRequest:
        return
    assert json.loads(splice_model(body, seen.model, "n", seen.model_span))["model"] == "n"
