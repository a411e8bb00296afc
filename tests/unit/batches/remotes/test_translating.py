from __future__ import annotations

import json

from batch_wires import CHAT, MESSAGES, Wire, order_of, target_at
from gemini_batch_provider import GeminiBatchProvider, answer_of

from pointsman.batches.remotes.translating import Translator

BODY = b'{"model":"house","max_tokens":8,"messages":[{"role":"user","content":"Hello"}]}'
ANSWER = json.dumps(answer_of()).encode()


def translator() -> Translator:
    return Translator(target_at(Wire(GeminiBatchProvider().answer), "gemini"))


async def test_an_answer_is_told_as_that_of_its_line() -> None:
    chat = await translator().got(order_of(BODY), 1, 200, ANSWER, "r1")
    assert chat is not None
    assert (chat.number, chat.status, chat.request_id, chat.usage.total_tokens) == (1, 200, "r1", 2)
    told = json.loads(chat.body)
    assert (told["object"], told["model"], told["created"]) == ("chat.completion", "house", 1000)
    message = await translator().got(order_of(BODY, endpoint=MESSAGES), 1, 200, ANSWER, "r1")
    assert message is not None
    assert json.loads(message.body)["type"] == "message"


async def test_of_a_line_that_is_not_there_nothing_is_told() -> None:
    assert await translator().got(order_of(BODY), 2, 200, ANSWER, "r1") is None


async def test_a_refusal_is_told_in_the_words_of_the_line_and_costs_nothing() -> None:
    body = b'{"error":{"code":429,"message":"too many, AIza-provider-93ab","status":"RESOURCE_EXHAUSTED"}}'
    one = await translator().got(order_of(BODY), 1, 429, body, "r1")
    assert one is not None
    assert (one.status, one.usage.total_tokens) == (429, 0)
    assert json.loads(one.body)["error"]["message"].startswith("too many")
    assert b"93ab" not in one.body


async def test_an_answer_that_nobody_can_read_is_a_failure() -> None:
    one = await translator().got(order_of(BODY, endpoint=CHAT), 1, 200, b"[]", "r1")
    assert one is not None
    assert (one.status, json.loads(one.body)["error"]["code"]) == (502, "upstream_broken")
