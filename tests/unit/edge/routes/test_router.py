from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from pointsman.access.caller import MASTER
from pointsman.edge.context import Serving
from pointsman.edge.routes.router import explain, feedback, info
from pointsman.errors import Forbidden, InvalidRequest, ModelNotFound, ResourceNotFound

Make = Callable[..., Any]


class _Explaining:
    """Tells what it was asked."""

    def info(self) -> dict[str, Any]:
        return {"routed_models": ["auto"]}

    async def explain(self, asked: Mapping[str, Any], headers: Mapping[bytes, bytes], tenant: str) -> dict[str, Any]:
        return {"asked": asked, "said": headers[b"x-pointsman-quality"].decode(), "tenant": tenant}


def _serving(make_serving: Make) -> Serving:
    return cast("Serving", replace(make_serving(), explaining=_Explaining()))


@pytest.mark.requirement("router.info")
async def test_the_master_sees_all_routed_models(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange()
    with pytest.raises(Forbidden):
        await info(_serving(make_serving), exchange, {})
    exchange.caller = MASTER
    await info(_serving(make_serving), exchange, {})
    assert wire.json == {"routed_models": ["auto"]}


async def test_without_routed_models_the_list_is_empty(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange()
    exchange.caller = MASTER
    await info(make_serving(), exchange, {})
    assert wire.json == {"routed_models": []}


@pytest.mark.requirement("router.explain")
async def test_a_prompt_is_explained_for_its_caller(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange("POST", body=b'{"prompt":"x"}', headers={b"x-pointsman-quality": b"0.3"})
    exchange.caller = MASTER
    await explain(_serving(make_serving), exchange, {})
    assert wire.json == {"asked": {"prompt": "x"}, "said": "0.3", "tenant": "master"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 5000])
async def test_what_is_no_object_is_refused(make_serving: Make, make_exchange: Make, body: bytes) -> None:
    serving = replace(_serving(make_serving), pipeline=make_serving(max_body_bytes=10_000).pipeline)
    with pytest.raises(InvalidRequest):
        await explain(serving, make_exchange("POST", body=body), {})


async def test_without_routed_models_there_is_nothing_to_explain(make_serving: Make, make_exchange: Make) -> None:
    with pytest.raises(ModelNotFound, match="sets one up"):
        await explain(make_serving(), make_exchange("POST", body=b'{"prompt":"x"}'), {})


class _Decisions:
    """Knows one request, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def feedback(self, request_id: str, score: float, text: str | None, tenant: str, *, is_master: bool) -> bool:
        if request_id != "r1":
            raise ResourceNotFound
        self.told.append((score, text, tenant, is_master))
        return len(self.told) > 1


def _rated(make_serving: Make) -> tuple[Serving, _Decisions]:
    decisions = _Decisions()
    return cast("Serving", replace(make_serving(), decisions=decisions)), decisions


@pytest.mark.requirement("routing.feedback.rating")
@pytest.mark.parametrize(
    ("said", "score"),
    [
        (b'"score":0.25', 0.25),
        (b'"score":1', 1.0),
        (b'"score":0', 0.0),
        (b'"thumbs":"up"', 1.0),
        (b'"thumbs":"down"', 0.0),
        (b'"thumbs":true', 1.0),
        (b'"thumbs":false', 0.0),
        (b'"score":0.5,"thumbs":null,"text":"so so"', 0.5),
    ],
)
async def test_an_answer_is_rated_by_a_number_or_by_thumbs(
    make_serving: Make, make_exchange: Make, wire: Any, said: bytes, score: float
) -> None:
    serving, decisions = _rated(make_serving)
    exchange = make_exchange("POST", body=b'{"request_id":"r1",' + said + b"}")
    exchange.caller = MASTER
    await feedback(serving, exchange, {})
    assert wire.json == {"request_id": "r1", "score": score, "status": "taken"}
    text = "so so" if b"text" in said else None
    assert decisions.told == [(score, text, "master", True)]


@pytest.mark.requirement("routing.feedback.changed")
async def test_a_rating_can_be_changed(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    serving, decisions = _rated(make_serving)
    decisions.told.append(())
    await feedback(serving, make_exchange("POST", body=b'{"request_id":"r1","score":1}'), {})
    assert wire.json["status"] == "changed"


@pytest.mark.requirement("routing.feedback.rating")
@pytest.mark.parametrize(
    ("said", "param"),
    [
        (b"{}", "request_id"),
        (b'{"request_id":""}', "request_id"),
        (b'{"request_id":5,"score":1}', "request_id"),
        (b'{"request_id":"r1"}', "score"),
        (b'{"request_id":"r1","score":1.5}', "score"),
        (b'{"request_id":"r1","score":-1}', "score"),
        (b'{"request_id":"r1","score":true}', "score"),
        (b'{"request_id":"r1","score":"1"}', "score"),
        (b'{"request_id":"r1","score":1,"thumbs":"up"}', "score"),
        (b'{"request_id":"r1","thumbs":"sideways"}', "thumbs"),
        (b'{"request_id":"r1","thumbs":1}', "thumbs"),
        (b'{"request_id":"r1","score":1,"text":5}', "text"),
        (b"[]", None),
        (b"{", None),
    ],
)
async def test_feedback_of_the_wrong_shape_is_told_which_member(
    make_serving: Make, make_exchange: Make, said: bytes, param: str | None
) -> None:
    serving, decisions = _rated(make_serving)
    with pytest.raises(InvalidRequest) as raised:
        await feedback(serving, make_exchange("POST", body=said), {})
    assert (raised.value.param, decisions.told) == (param, [])


async def test_feedback_on_a_request_that_is_not_known_is_not_found(make_serving: Make, make_exchange: Make) -> None:
    serving, _ = _rated(make_serving)
    body = b'{"request_id":"r2","score":1}'
    for one in (serving, make_serving()):
        with pytest.raises(ResourceNotFound):
            await feedback(one, make_exchange("POST", body=body), {})
