from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pointsman.access.estimates import (
    FREE,
    IMAGE_TOKENS,
    PICTURE_TOKENS,
    USUAL,
    USUAL_OUTPUT_TOKENS,
    Estimate,
    Form,
    Rates,
    _Bounds,
    asked_for,
    estimate,
    rates_of,
)
from pointsman.providers.base import Price, PriceDetails, Tier
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation
from pointsman.wire.usage import Usage

RATES = Rates(given=1_000_000, made=10_000_000)
"""A millionth and a hundred-thousandth of a dollar for a token."""


def of(operation: Operation = op.CHAT, rates: Rates = RATES, **body: Any) -> Estimate:
    raw = msgspec.json.encode(body)
    return estimate(rates, operation, raw, len(raw))


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 50}, 50),
        ({"max_tokens": 7, "max_completion_tokens": 50}, 50),
        ({"max_output_tokens": 50}, 50),
        ({"generationConfig": {"maxOutputTokens": 25, "candidateCount": 2}}, 50),
        ({"max_tokens": 10, "n": 5}, 50),
        ({"max_tokens": 10, "best_of": 5, "n": 2}, 50),
        ({"max_tokens": 50.0}, 50),
        ({}, USUAL_OUTPUT_TOKENS),
        ({"max_tokens": None}, USUAL_OUTPUT_TOKENS),
        ({"generationConfig": {"maxOutputTokens": 5}, "generation_config": {"max_output_tokens": 50}}, 50),
        ({"generation_config": {"max_output_tokens": 5}, "generationConfig": {"max_output_tokens": 50}}, 50),
        # Some servers take text for the number that it is.
        ({"max_tokens": "50"}, 50),
        ({"max_tokens": 10, "n": "5"}, 50),
        ({"max_tokens": "many"}, USUAL_OUTPUT_TOKENS),
        ({"max_tokens": "nan"}, USUAL_OUTPUT_TOKENS),
        ({"max_tokens": ""}, USUAL_OUTPUT_TOKENS),
        ({"max_tokens": True}, USUAL_OUTPUT_TOKENS),
        ({"max_tokens": -3, "generationConfig": 5}, USUAL_OUTPUT_TOKENS),
        ({"metadata": {"max_tokens": 1}}, USUAL_OUTPUT_TOKENS),
    ],
)
def test_an_answer_is_as_long_as_its_caller_lets_it_be(body: dict[str, Any], tokens: int) -> None:
    raw = msgspec.json.encode(body)
    found = of(**body)
    assert found.tokens == round(len(raw) / 3.6) + tokens
    # Of money as much as there can be: a token for each byte of what is asked.
    assert found.nanos == 1000 * len(raw) + 10_000 * tokens


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"max_tokens": 50, "system": "Be brief.", "n": 1},
        {"max_completion_tokens": 70, "max_tokens": 5, "tools": [{"type": "function"}]},
        {"max_output_tokens": 10**6},
        {"max_tokens": 2**40},
        {"messages": [{"role": "user", "content": "Hi", "name": "Ada"}, {"role": "assistant", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]},
        {"messages": [{"role": "user", "content": {"type": "input_file", "file_id": "f"}}]},
        {"messages": [{"role": "assistant", "audio": {"id": "a"}}]},
        # What is not looked at here, others may read.
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://x"}}]}]},
        {"input": [{"type": "input_file", "file_id": "f"}]},
        {"instructions": [{"type": "input_file"}], "previous_response_id": "r"},
        {"system_instruction": {"parts": [{"inline_data": {"mime_type": "image/png", "data": "QUJD"}}]}},
        {"generationConfig": {"maxOutputTokens": 3000, "candidateCount": 3}, "n": 2, "best_of": 4},
        {"container": "c", "conversation": "v"},
    ],
)
@pytest.mark.parametrize("longest", [None, 40])
def test_a_conversation_of_text_alone_is_reckoned_as_any_other_only_quicker(
    body: dict[str, Any], longest: int | None
) -> None:
    rates = msgspec.structs.replace(RATES, most_output=4000, most_input=longest, query=7, least_output=20)
    raw = msgspec.json.encode({"messages": [{"role": "user", "content": "Hello"}], **body})
    # An escape anywhere makes it look closer.
    quick, close = (raw[:-1] + b',"pad":"' + pad + b'"}' for pad in (b"______", b"\\u0041"))
    assert len(quick) == len(close)
    assert estimate(rates, op.CHAT, quick, len(raw)) == estimate(rates, op.CHAT, close, len(raw))


@pytest.mark.parametrize("name", sorted({*_Bounds.__struct_fields__, *USUAL}))
@pytest.mark.parametrize("value", ["priority", True, 3000, {"maxOutputTokens": 3000}, ["a", "b"]])
def test_no_member_that_an_estimate_goes_by_is_overlooked_on_the_quick_way(name: str, value: object) -> None:
    raw = msgspec.json.encode({"messages": [{"role": "user", "content": "Hello"}], name: value})
    quick, close = (raw[:-1] + b',"pad":"' + pad + b'"}' for pad in (b"______", b"\\u0041"))
    assert estimate(RATES, op.CHAT, quick, len(raw)) == estimate(RATES, op.CHAT, close, len(raw))


def test_nobody_answers_at_greater_length_than_he_can_or_than_his_operator_wants() -> None:
    at_most = Rates(made=1000, most_output=8)
    assert of(rates=at_most, max_tokens=50).nanos == 8
    assert of(rates=at_most).nanos == 8
    assert of(rates=rates_of(Price(output_usd_per_token=Decimal("1e-9")), None, {"max_tokens": 30})).nanos == 30
    forced = rates_of(Price(output_usd_per_token=Decimal("1e-9")), None, {}, {"max_tokens": 30})
    assert of(rates=forced, max_tokens=2).nanos == 30


def test_the_dearest_price_of_each_kind_counts() -> None:
    tier = Tier(above=1000, price=Price(input_usd_per_token=Decimal("9e-6"), output_usd_per_token=Decimal("1e-6")))
    details = PriceDetails(
        cache_write_usd_per_token=Decimal("3e-6"), reasoning_usd_per_token=Decimal("4e-6"), tiers=(tier,)
    )
    price = Price(
        input_usd_per_token=Decimal("1e-6"), output_usd_per_token=Decimal("2e-6"), usd_per_query=Decimal("0.002")
    )
    known = rates_of(price)
    assert (known.given, known.made, known.query) == (1_000_000, 2_000_000, 2 * 10**9)
    found = rates_of(msgspec.structs.replace(price, details=details))
    assert (found.given, found.made) == (9_000_000, 4_000_000)


def test_several_deployments_are_as_dear_as_the_dearest_and_answer_as_long_as_the_longest() -> None:
    one, other = Rates(given=5, made=1, most_output=10), Rates(given=2, made=3, most_output=20)
    assert one | other == Rates(given=5, made=3, most_output=20)
    assert (one | Rates()).most_output is None
    assert FREE | one == one


def test_what_is_not_charged_by_the_token_is_reckoned_by_what_it_is_charged_by() -> None:
    rates = Rates(image=10**9, character=1000, second=10**6, query=5000)
    assert of(op.IMAGE_GENERATION, rates, n=3).nanos == 3 * 10**6 + 5
    assert of(op.IMAGE_GENERATION, Rates(made=1000)).nanos == IMAGE_TOKENS
    assert of(op.SPEECH, rates, input="abc").nanos == len(b'{"input":"abc"}') + 5
    assert of(op.EMBEDDINGS, rates, input="abc").nanos == 5
    assert estimate(rates, op.TRANSCRIPTION, b"", 0, Form(40_000)).nanos == 11 * 1000 + 5


def test_pictures_in_a_request_are_tokens_by_a_share_of_their_length() -> None:
    assert estimate(Rates(most_output=0), op.CHAT, b" " * 900, 100).tokens == round(100 / 3.6) + 100


DATA = "data:image/png;base64," + "Aa0+" * 50_000
ASKED = Rates(given=1000, most_output=0)
"""A nano-dollar for a token."""
WINDOW = msgspec.structs.replace(ASKED, most_input=100_000)


def said(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts]}], **more}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": DATA}]},
        said({"type": "text", "text": DATA}),
        said({"type": "text", "text": "x", "image_url": {"url": DATA}}),
        said(tools=[{"type": "function", "function": {"parameters": {"x": {"url": DATA}}}}]),
        said({"type": "tool_use", "input": {"content": [{"type": "image_url", "image_url": {"url": DATA}}]}}),
        said({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": DATA}}),
        said(x={"type": "image_url", "image_url": {"url": DATA}}),
        {"contents": [{"parts": [{"text": DATA}, {"inlineData": {"mimeType": "text/plain", "data": "A" * 9000}}]}]},
    ],
)
def test_what_only_looks_like_a_picture_is_paid_for_as_text(body: dict[str, Any]) -> None:
    raw = msgspec.json.encode(body)
    assert estimate(ASKED, op.CHAT, raw, 0) == Estimate(len(raw) // 8, len(raw))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": DATA}},
        {"type": "image_url", "image_url": DATA},
        {"type": "input_image", "image_url": DATA},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": DATA}}]},
        {"inlineData": {"mimeType": "image/png", "data": DATA}},
        {"inline_data": {"mime_type": "image/png", "data": DATA}},
        {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "url", "url": "https://a.b/c.png"}},
    ],
)
def test_a_picture_is_paid_for_as_the_largest_is_wherever_it_stands(part: dict[str, Any]) -> None:
    for body in (said(part), {"input": [{"role": "user", "content": [part]}]}, {"contents": {"parts": [part]}}):
        found = of(rates=ASKED, **body)
        assert PICTURE_TOKENS < found.nanos < PICTURE_TOKENS + 250
        assert not found.is_endless


def test_names_that_are_spelled_with_escapes_are_the_same() -> None:
    raw = msgspec.json.encode(said({"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}))
    raw = raw.replace(b'"type"', b'"typ\\u0065"')
    assert estimate(ASKED, op.CHAT, raw, len(raw)).nanos == len(raw) + PICTURE_TOKENS


def test_a_sound_is_paid_for_by_its_length() -> None:
    body = said({"type": "input_audio", "input_audio": {"data": "A" * 80_000, "format": "mp3"}})
    assert of(rates=ASKED, **body).nanos == len(msgspec.json.encode(body)) - 70_000


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (op.RESPONSES, {"input": "Hi", "previous_response_id": "resp_1"}),
        (op.RESPONSES, {"input": "Hi", "conversation": {"id": "conv_1"}}),
        (op.RESPONSES, {"prompt": {"id": "pmpt_1"}}),
        (op.RESPONSES, {"input": [{"id": "msg_1"}]}),
        (op.RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        (op.RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
        (op.CHAT, said({"type": "file", "file": {"file_data": "data:application/pdf;base64,QQ=="}})),
        (op.CHAT, said({"type": "image_url", "image_url": {"url": "data:application/pdf;base64,QQ=="}})),
        (op.CHAT, said({"type": "video_url", "video_url": {"url": "https://a.b/c.mp4"}})),
        (op.CHAT, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        (op.MESSAGES, said({"type": "document", "source": {"type": "url", "url": "https://a.b/c.pdf"}})),
        (op.MESSAGES, said({"type": ["text"]})),
        (op.GENERATE_CONTENT, {"contents": [{"parts": [{"fileData": {"fileUri": "https://a.b/c.mp4"}}]}]}),
        (op.GENERATE_CONTENT, {"contents": "Hi", "cachedContent": "cachedContents/1"}),
    ],
)
def test_what_nobody_can_measure_is_as_long_as_the_model_lets_it_be(operation: Operation, body: Any) -> None:
    assert of(operation, WINDOW, **body).nanos == 100_000
    assert not of(operation, WINDOW, **body).is_endless
    assert of(operation, ASKED, **body).is_endless


def test_no_conversation_is_paid_for_that_is_longer_than_the_model_lets_it_be() -> None:
    assert of(rates=WINDOW, messages="x" * 200_000).nanos == 100_000
    # Prompts that are answered one by one may be.
    assert of(op.COMPLETION, WINDOW, prompt=["x" * 100_000] * 2).nanos > 200_000


def test_several_prompts_are_answered_one_by_one() -> None:
    rates = Rates(made=1000)
    for prompt, count in ((["a", "b", "c"], 3), ([[1, 2], [3]], 2), ([1, 2, 3], 1), ("a", 1), ([], 1)):
        assert of(op.COMPLETION, rates, prompt=prompt, max_tokens=5, n=2).nanos == count * 10


def test_many_documents_are_more_than_one_query() -> None:
    rates = Rates(query=1000)
    assert of(op.RERANK, rates, query="a", documents=["b"]).nanos == 1
    assert of(op.RERANK, rates, query="a", documents=["b"] * 1000).nanos >= 10
    assert of(op.RERANK, rates, query="a", documents=["b" * 100_000]).nanos >= 2


def test_pictures_that_a_form_asks_for_are_counted() -> None:
    rates = Rates(image=1000, given=1000)
    assert estimate(rates, op.IMAGE_EDIT, b"", 0, Form(size=500, n="10")).nanos == 500 + 10
    assert estimate(rates, op.IMAGE_EDIT, b"", 0, Form(size=500)).nanos == 500 + 1
    assert estimate(rates, op.IMAGE_EDIT, b"", 0, Form(size=10**7, parts=2)).nanos == 2 * IMAGE_TOKENS + 32_000 + 1
    assert of(op.IMAGE_GENERATION, Rates(image=1000), n="10").nanos == 10


def test_what_has_no_price_is_known_to_have_none() -> None:
    token, each = Decimal("1e-6"), Decimal(1)
    assert rates_of(Price()).modes == frozenset()
    assert "chat" not in rates_of(Price(input_usd_per_token=token)).modes
    assert rates_of(Price(input_usd_per_token=Decimal(0), output_usd_per_token=Decimal(0))).modes >= {
        "chat",
        "responses",
    }
    assert rates_of(Price(usd_per_image=each)).modes == {"image_generation"}
    assert rates_of(Price(usd_per_second=each)).modes == {"audio_transcription"}
    assert (FREE | rates_of(Price())).modes == frozenset()


@pytest.mark.parametrize("more", [b'"n":1e999', b'"metadata":{"n":1e999}', b'"n":"\\ud800"', b'"n":'])
def test_a_body_that_only_others_may_read_is_reckoned_as_all_that_there_can_be(more: bytes) -> None:
    raw = b'{"messages":[{"content":[{"type":"file"}]}],"max_tokens":50,%b}' % more
    found = estimate(msgspec.structs.replace(WINDOW, made=1000, most_output=1000), op.CHAT, raw, len(raw))
    assert found.nanos >= 100_000 + 50
    if b"metadata" not in more:
        assert found.nanos == 100_000 + 128 * 1000


def test_what_nobody_can_ask_in_earnest_is_still_a_number_that_can_be_counted() -> None:
    found = of(max_tokens=10**18, n=10**18)
    assert found.tokens == found.nanos == 2**61


@pytest.mark.parametrize(
    ("operation", "body", "form", "text", "usage"),
    [
        (op.CHAT, b"{}", None, "", Usage(input_tokens=10, total_tokens=10)),
        (
            *(op.IMAGE_GENERATION, b'{"n":2}', None, ""),
            Usage(input_tokens=10, output_tokens=2 * IMAGE_TOKENS, total_tokens=10 + 2 * IMAGE_TOKENS, images=2),
        ),
        (op.SPEECH, b"{}", None, "abc", Usage(input_tokens=10, output_tokens=6, total_tokens=16, characters=3)),
        (
            *(op.TRANSCRIPTION, b"", Form(39_999), ""),
            Usage(input_tokens=150, output_tokens=150, total_tokens=300, seconds=10),
        ),
        (
            *(op.RERANK, msgspec.json.encode({"documents": ["x"] * 150}), None, ""),
            Usage(input_tokens=10, total_tokens=10, search_units=2),
        ),
    ],
)
def test_a_request_tells_what_it_has_used_where_nobody_else_does(
    operation: Operation, body: bytes, form: Form | None, text: str, usage: Usage
) -> None:
    assert asked_for(operation, body, 36, form, text) == usage


@pytest.mark.parametrize(
    ("body", "extra"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": "Fast"}, "service_tier"),
        ({"service_tier": 7}, "service_tier"),
        ({"service_tier": {"type": "priority"}}, "service_tier"),
        ({"serviceTier": "priority"}, "serviceTier"),
        ({"speed": "fast"}, "speed"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"background": True}, "background"),
        ({"background": False}, None),
        ({"service_tier": "Flex"}, None),
        ({"service_tier": "auto", "speed": None}, None),
        ({"service_tier": {"type": "flex"}}, None),
    ],
)
def test_what_has_a_price_of_its_own_is_seen(body: dict[str, Any], extra: str | None) -> None:
    found = of(**body)
    assert found.extra == extra
    assert (found | of()).extra == (of() | found).extra == extra
    # Nothing is no more, however quick it is.
    assert of(rates=FREE, **body).extra is None
