from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.errors import InvalidRequest
from pointsman.wire.knobs import Knobs, NamedKnob, knob_in, knobs_of, number_of

BODY = b'{"model":"auto","messages":[]}'


def _body(**members: Any) -> bytes:
    return msgspec.json.encode({"model": "auto", **members})


@pytest.mark.parametrize(
    ("name", "knob"),
    [
        ("auto:cheap", NamedKnob("auto", 0.5, None)),
        ("auto:CHEAP", NamedKnob("auto", 0.5, None)),
        ("auto:Best", NamedKnob("auto", 1.0, None)),
        ("auto:best", NamedKnob("auto", 1.0, None)),
        ("my/model:0.25", NamedKnob("my/model", 0.25, None)),
        ("auto:0", NamedKnob("auto", 0.0, None)),
        ("auto:.5", NamedKnob("auto", 0.5, None)),
        ("auto:1.5", NamedKnob("auto", 1.5, None)),
        ("a:b:best", NamedKnob("a:b", 1.0, None)),
    ],
)
def test_a_name_can_hold_a_knob(name: str, knob: NamedKnob) -> None:
    assert knob_in(name) == knob


@pytest.mark.parametrize("name", ["auto", "auto:", "auto:good", "auto:2", "auto:-1", "auto:0.5 ", ":best", "x:latest"])
def test_other_names_hold_none(name: str) -> None:
    assert knob_in(name) is None


def test_routellms_threshold_is_a_share_of_strong_calls() -> None:
    def share(name: str) -> float | None:
        knob = knob_in(name)
        assert knob is not None
        return knob.strong_share

    assert share("router-mf-0.11593") == pytest.approx(0.5)
    assert (share("router-mf-0"), share("router-mf-1")) == (1.0, 0.0)
    assert share("router-bert-0.25") == 0.75
    assert knob_in("router-mf-0.2") == ("router-mf", None, share("router-mf-0.2"))


def test_null_says_nothing_and_a_session_is_text() -> None:
    assert knobs_of({}, BODY, dict.fromkeys(("quality", "max_cost", "min_quality", "session_id"))) == (Knobs(), BODY)
    with pytest.raises(InvalidRequest, match=r"Invalid 'pointsman.session_id': expected a string"):
        knobs_of({}, BODY, {"session_id": 5})


def test_nothing_said_leaves_the_body_as_it_is() -> None:
    assert knobs_of({}, BODY, None) == (Knobs(), BODY)
    body = _body(metadata={"quality_of_life": "1"}, messages=[])
    assert knobs_of({}, body, None)[1] is body


def test_knobs_stand_in_headers() -> None:
    headers = {b"x-pointsman-quality": b"0.3", b"x-pointsman-max-cost": b"0.01", b"x-pointsman-min-quality": b"0.5"}
    assert knobs_of(headers, BODY, None)[0] == Knobs(quality=0.3, max_cost=0.01, min_quality=0.5)


@pytest.mark.parametrize("name", [b"meta\\u0064ata", b"\\u006detadata", b"\\u006d\\u0065\\u0074adata"])
def test_a_name_may_be_written_otherwise(name: bytes) -> None:
    knobs, rest = knobs_of({}, b'{"model":"auto","%b" : {"quality":0.3}}' % name, None)
    assert (knobs.quality, rest) == (0.3, b'{"model":"auto"}')


def test_knobs_in_metadata_are_taken_out_of_it() -> None:
    body = _body(metadata={"quality": "0.3", "max_cost": 1, "mine": "kept"}, messages=[])
    knobs, rest = knobs_of({}, body, None)
    assert knobs == Knobs(quality=0.3, max_cost=1.0)
    assert msgspec.json.decode(rest) == {"model": "auto", "metadata": {"mine": "kept"}, "messages": []}


def test_metadata_that_held_nothing_else_goes() -> None:
    _, rest = knobs_of({}, _body(metadata={"min_quality": 0.3}, messages=[]), None)
    assert msgspec.json.decode(rest) == {"model": "auto", "messages": []}


def test_metadata_that_is_no_object_is_the_upstreams_concern() -> None:
    body = _body(metadata=3)
    assert knobs_of({}, body, None) == (Knobs(), body)


def test_the_member_of_ours_goes_before_metadata_and_that_before_headers() -> None:
    headers = {b"x-pointsman-quality": b"0.1", b"x-pointsman-max-cost": b"1", b"x-pointsman-min-quality": b"0.1"}
    body = _body(metadata={"quality": 0.2, "max_cost": 2})
    knobs, _ = knobs_of(headers, body, {"quality": "best"})
    assert knobs == Knobs(quality=1.0, max_cost=2.0, min_quality=0.1)


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({"headers": {b"x-pointsman-quality": b"much"}}, "x-pointsman-quality"),
        ({"headers": {b"x-pointsman-max-cost": b"-1"}}, "x-pointsman-max-cost"),
        ({"headers": {b"x-pointsman-max-cost": b"inf"}}, "x-pointsman-max-cost"),
        ({"headers": {b"x-pointsman-quality": b"nan"}}, "x-pointsman-quality"),
        ({"body": _body(metadata={"quality": 1.1})}, "metadata.quality"),
        ({"body": _body(metadata={"min_quality": "best"})}, "metadata.min_quality"),
        ({"body": _body(metadata={"min_quality": True})}, "metadata.min_quality"),
        ({"ours": {"quality": []}}, "pointsman.quality"),
        ({"ours": {"qualty": 1}}, "pointsman.qualty"),
    ],
)
def test_what_is_no_such_number_is_refused_by_name(said: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        knobs_of(said.get("headers", {}), said.get("body", BODY), said.get("ours"))
    assert caught.value.param == param


def test_a_number_too_large_to_be_one_is_none() -> None:
    assert number_of("max_cost", 10**400) is None


@pytest.mark.parametrize(
    ("said", "session"),
    [
        ({"headers": {b"x-session-id": b"s1"}}, "s1"),
        ({"headers": {b"x-litellm-session-id": b"s2"}}, "s2"),
        ({"headers": {b"session_id": b"s3"}}, "s3"),
        ({"body": _body(metadata={"session_id": "s4"})}, "s4"),
        ({"body": _body(litellm_session_id="s5")}, "s5"),
        ({"ours": {"session_id": "s6"}}, "s6"),
        ({"headers": {b"x-session-id": b"s1"}, "body": _body(metadata={"session_id": "s4"})}, "s4"),
        ({"headers": {b"x-session-id": b""}}, None),
    ],
)
def test_a_session_is_named_in_many_ways(said: dict[str, Any], session: str | None) -> None:
    knobs, _ = knobs_of(said.get("headers", {}), said.get("body", BODY), said.get("ours"))
    assert knobs.session == session


def test_the_session_of_litellm_does_not_go_on_and_that_in_metadata_does() -> None:
    _, rest = knobs_of({}, _body(litellm_session_id="s", metadata={"session_id": "t"}), None)
    assert msgspec.json.decode(rest) == {"model": "auto", "metadata": {"session_id": "t"}}
