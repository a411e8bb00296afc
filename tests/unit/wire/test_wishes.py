from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from pointsman.errors import InvalidRequest
from pointsman.wire import operations
from pointsman.wire.peek import RawWishes, peek
from pointsman.wire.wishes import Fallback, Wishes, strip_wishes, wishes_of

PLAIN: dict[str, Any] = {"model": "m", "messages": []}
OURS: dict[str, Any] = {
    "fallbacks": ["a"],
    "context_window_fallbacks": [{"m": ["b"]}],
    "content_policy_fallbacks": [{"*": ["c"]}],
    "models": ["m", "n"],
    "num_retries": 3,
    "timeout": 2,
    "stream_timeout": 0.5,
    "disable_fallbacks": True,
    "tags": ["red", "blau ä"],
    "priority": 255,
    "cache": {"no-cache": True},
    "caching": False,
    "mock_testing_fallbacks": True,
    "allowed_model_region": "EU",
    "guardrails": ["g"],
    "mock_response": "hello",
    "drop_params": True,
    "additional_drop_params": ["top_k", "tools[*].strict"],
    "allowed_openai_params": ["seed"],
    "extra_body": {"min_p": 0.1},
    "pointsman": {"quality": 0.5},
}


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(PLAIN | body).encode()


def read(headers: dict[bytes, bytes] | None = None, model: str | None = "m", **body: Any) -> Wishes | None:
    return wishes_of(peek(operations.CHAT, encoded(body)).wishes, headers or {}, model)


def wished(headers: dict[bytes, bytes] | None = None, **body: Any) -> Wishes:
    found = read(headers, **body)
    assert found is not None
    return found


def refusal(headers: dict[bytes, bytes] | None = None, **body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(headers, **body)
    return caught.value


def test_the_usual_request_wishes_nothing() -> None:
    usual = {b"host": b"x", b"user-agent": b"OpenAI/Python", b"x-litellm-trace-id": b"t"}
    assert read(usual, temperature=1, metadata={"trace": "t"}) is None
    assert peek(operations.CHAT, encoded({"metadata": {"tags": "red"}})).wishes is None


@pytest.mark.requirement("routing.wishes")
def test_everything_that_a_body_can_say_is_read() -> None:
    assert read(**OURS) == Wishes(
        fallbacks=(Fallback("a"),),
        context_window_fallbacks=(Fallback("b"),),
        content_policy_fallbacks=(Fallback("c"),),
        models=("m", "n"),
        num_retries=3,
        timeout=2.0,
        stream_timeout=0.5,
        is_without_fallbacks=True,
        tags=("red", "blau ä"),
        regions=(("eu",),),
        priority=255,
        cache={"no-cache": True},
        caching=False,
        is_mock_failure=True,
        drop_params=True,
        additional_drop_params=["top_k", "tools[*].strict"],
        allowed_openai_params=["seed"],
        extra_body={"min_p": 0.1},
        pointsman={"quality": 0.5},
    )


@pytest.mark.requirement("routing.wishes")
def test_everything_that_headers_can_say_is_read_without_a_body() -> None:
    headers = {
        b"x-litellm-num-retries": b"0",
        b"x-litellm-timeout": b" 1.5 ",
        b"x-litellm-stream-timeout": b"1e1",
        b"x-litellm-tags": b"red, gr\xc3\xbcn,,",
        b"x-litellm-priority": b"7",
        b"x-litellm-disable-fallbacks": b"True",
        b"x-pointsman-region": b"eu, US-east-1",
    }
    assert wishes_of(None, headers, None) == Wishes(
        num_retries=0,
        timeout=1.5,
        stream_timeout=10.0,
        tags=("red", "grün"),
        regions=(("eu", "us-east-1"),),
        priority=7,
        is_without_fallbacks=True,
    )


def test_of_the_same_wish_the_body_goes_first_and_null_says_nothing() -> None:
    headers = {b"x-litellm-num-retries": b"1", b"x-litellm-timeout": b"9", b"x-litellm-tags": b"h"}
    assert read(headers, num_retries=2, timeout=None, tags=["b"]) == Wishes(num_retries=2, timeout=9.0, tags=("b",))
    assert read(**dict.fromkeys(OURS)) is None
    assert read(metadata=None) is None


def test_tags_stand_in_the_body_or_in_its_metadata_or_in_a_header() -> None:
    header = {b"x-litellm-tags": b"h"}
    assert wished(header, tags=["b"], metadata={"tags": ["m"]}).tags == ("b",)
    assert wished(header, metadata={"tags": ["m"]}).tags == ("m",)
    assert wished(header, metadata={"tags": "not ours"}).tags == ("h",)
    assert wished(header).tags == ("h",)
    assert wished(tags="one, two").tags == ("one", "two")


@pytest.mark.requirement("routing.regions")
def test_a_region_in_the_body_does_not_lift_one_in_a_header() -> None:
    header = {b"x-pointsman-region": b"eu"}
    assert wished(header, allowed_model_region=["us", "eu-west-1"]).regions == (("us", "eu-west-1"), ("eu",))
    assert wished(header, allowed_model_region=None).regions == (("eu",),)


def test_a_fallback_may_change_the_request_but_not_how_it_is_answered_nor_its_wishes() -> None:
    entry = {
        "model": "b",
        "messages": [1.10],
        "stream": True,
        "stream_options": {},
        "num_retries": 9,
        "api_key": None,
        "metadata": {"tags": ["x"], "trace": "t"},
    }
    fallback = Fallback("b", {"messages": Raw(b"[1.1]"), "api_key": Raw(b"null"), "metadata": Raw(b'{"trace":"t"}')})
    assert wished(fallbacks=["a", entry]).fallbacks == (Fallback("a"), fallback)


@pytest.mark.parametrize("name", ["api_key", "api_base", "base_url"])
def test_a_fallback_may_not_say_what_the_operator_does(name: str) -> None:
    assert refusal(fallbacks=[{"model": "b", name: "http://x"}]).param == name
    assert refusal(context_window_fallbacks=[{"m": [{"model": "b", name: ""}]}]).param == name


@pytest.mark.parametrize(
    ("fallbacks", "models"),
    [
        ([], ()),
        ([{"m": ["a", {"model": "b"}]}], ("a", "b")),
        ([{"*": ["z"]}, {"m": ["a"]}], ("a",)),
        ([{"m": ["a"]}, {"m": ["b"]}], ("a",)),
        ([{"x": ["y"], "m": []}, {"*": ["z"]}], ()),
        ([{"x": ["y"]}, {"*": ["z"]}], ("z",)),
        ([{"x": ["y"]}], ()),
        (["a", {"m": ["b"]}, {"model": "c"}], ("a", "c", "b")),
        ([{"model": ["b"]}, {"*": ["z"]}], ("z",)),
    ],
)
@pytest.mark.parametrize("name", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_of_a_map_the_list_of_the_requested_model_is_taken(name: str, fallbacks: Any, models: tuple[str, ...]) -> None:
    assert [fallback.model for fallback in getattr(wished(**{name: fallbacks}), name)] == list(models)


def test_without_a_model_the_first_of_models_is_the_requested_one() -> None:
    body: dict[str, Any] = {"models": ["a", "b"], "fallbacks": [{"a": ["x"]}, {"*": ["z"]}]}
    for asked, fallback in ((None, "x"), ("b", "z")):
        assert read(model=asked, **body) == Wishes(models=("a", "b"), fallbacks=(Fallback(fallback),))
    assert read(model=None, models=[], fallbacks=[{"a": ["x"]}]) == Wishes(models=(), fallbacks=())


@pytest.mark.requirement("routing.wishes-checked")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_retries", 11),
        ("num_retries", -1),
        ("num_retries", True),
        ("num_retries", "2"),
        ("timeout", 0),
        ("timeout", 86_401),
        ("timeout", [1]),
        ("stream_timeout", -0.1),
        ("priority", 256),
        ("priority", 1.5),
        ("disable_fallbacks", "yes"),
        ("mock_testing_fallbacks", 1),
        ("caching", "x"),
        ("drop_params", "yes"),
        ("additional_drop_params", "top_k"),
        ("additional_drop_params", ["x" * 129]),
        ("allowed_openai_params", ["x"] * 65),
        ("extra_body", ["x"]),
        ("cache", []),
        ("pointsman", 3),
        ("models", "m"),
        ("models", [""]),
        ("models", ["a\nb"]),
        ("models", ["m"] * 17),
        ("tags", {}),
        ("tags", ["t"] * 65),
        ("tags", ["t" * 129]),
        ("tags", [""]),
        ("tags", ["a\tb"]),
        ("tags", [7]),
        ("fallbacks", "a"),
        ("fallbacks", [7]),
        ("fallbacks", ["a"] * 17),
        ("fallbacks", ["\u2028"]),
        ("fallbacks", [{"model": ""}]),
        ("fallbacks", [{"m": "a"}]),
        ("fallbacks", [{"m": ["a"] * 17}]),
        ("content_policy_fallbacks", [{"m": [{"x": ["y"]}]}]),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_is_expected(name: str, value: Any) -> None:
    error = refusal(**{name: value})
    assert (error.status, error.param) == (400, name)
    assert error.message.startswith(f"Invalid '{name}': expected ")


def test_tags_in_metadata_are_checked_too() -> None:
    assert refusal(metadata={"tags": [7]}).param == "metadata.tags"


@pytest.mark.requirement("routing.wishes-checked")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-litellm-num-retries", b"many"),
        (b"x-litellm-num-retries", b"1, 2"),
        (b"x-litellm-timeout", b""),
        (b"x-litellm-timeout", b"nan"),
        (b"x-litellm-timeout", b"1e999"),
        (b"x-litellm-priority", b"\xff"),
        (b"x-litellm-tags", b"\x00"),
        (b"x-litellm-tags", b"t" * 129),
        (b"x-pointsman-region", b""),
        (b"x-pointsman-region", b"eu,"),
        (b"x-pointsman-region", b"eu*"),
        (b"x-pointsman-region", b",".join([b"eu"] * 17)),
    ],
)
def test_a_bad_header_is_refused_by_its_name(name: bytes, value: bytes) -> None:
    assert refusal({name: value}).param == name.decode()


def test_wishes_about_parameters_are_read() -> None:
    found = wished(**{name: OURS[name] for name in OURS if name.endswith("_params") or name == "extra_body"})
    assert (found.drop_params, found.additional_drop_params) == (True, ["top_k", "tools[*].strict"])
    assert (found.allowed_openai_params, found.extra_body) == (["seed"], {"min_p": 0.1})


@pytest.mark.parametrize("name", ["api_key", "api_base", "base_url", "model", "stream", "stream_options"])
def test_extra_members_cannot_set_what_is_the_operators_or_decided_already(name: str) -> None:
    assert refusal(extra_body={name: "x"}).param == f"extra_body.{name}"


@pytest.mark.requirement("routing.wishes")
def test_what_is_for_the_gateway_is_stripped_and_the_rest_keeps_its_bytes() -> None:
    assert json.loads(strip_wishes(encoded(OURS))) == PLAIN
    body = b'{ "model": "m", "num_retries" :1, "messages": [ 1.10 ], "metadata": {"a": "\\u00e9", "tags": ["t"]} }'
    assert strip_wishes(body) == b'{"model":"m","messages":[ 1.10 ],"metadata":{"a":"\\u00e9"}}'


def test_metadata_goes_when_its_tags_were_all_there_was_and_stays_when_they_are_no_list() -> None:
    assert strip_wishes(b'{"a":1,"metadata":{"tags":[]}}') == b'{"a":1}'
    for metadata in (b"{}", b"null", b'"x"', b'{"tags":"t"}', b"[1]"):
        body = b'{"metadata":' + metadata + b"}"
        assert strip_wishes(body) == body


def test_a_wish_that_stands_twice_or_in_escapes_is_read_as_the_last_and_leaves_nothing() -> None:
    body = b'{"model":"m","messages":[],"num_retries":1,"num\\u005fretries":2,"t\\u0061gs":["x"]}'
    assert wishes_of(peek(operations.CHAT, body).wishes, {}, "m") == Wishes(num_retries=2, tags=("x",))
    assert strip_wishes(body) == b'{"model":"m","messages":[]}'


def test_a_body_that_is_no_object_cannot_be_stripped() -> None:
    with pytest.raises(InvalidRequest):
        strip_wishes(b"[]")


def test_these_tests_know_every_member_that_is_for_the_gateway() -> None:
    assert {*OURS, "metadata"} == set(RawWishes.__struct_fields__)


@pytest.mark.parametrize("name", [*OURS, "metadata"])
def test_each_wish_is_noticed_in_small_bodies_and_large_ones(name: str) -> None:
    value = OURS.get(name, {"tags": ["t"]})
    for padding in ("", "x" * 10_000):
        body = encoded({name: value, "z": padding})
        assert peek(operations.CHAT, body).wishes is not None
        left = peek(operations.CHAT, strip_wishes(body))
        assert (left.wishes, left.model) == (None, "m")


names = st.sampled_from(sorted(OURS)) | st.sampled_from(["user", "seed", "metadata"])
values = st.none() | st.integers(-1, 20) | st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3)


@given(st.dictionaries(names, values | st.dictionaries(st.just("tags") | st.text(max_size=3), values, max_size=2)))
def test_stripping_takes_our_members_and_no_others_whatever_they_hold(body: dict[str, Any]) -> None:
    left = json.loads(strip_wishes(json.dumps(body).encode()))
    assert not left.keys() & OURS.keys()
    carried = {name: value for name, value in body.items() if name not in OURS and name != "metadata"}
    assert {name: value for name, value in left.items() if name != "metadata"} == carried
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("tags"), list):
        assert left.get("metadata") == metadata
    else:
        rest = {name: value for name, value in metadata.items() if name != "tags"}
        assert left.get("metadata", {}) == rest
