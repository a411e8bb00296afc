from __future__ import annotations

import json
from typing import Any

from openai.types import Completion
from unit.providers.dialects.completions.golden import built, cases, reply_terms

from pointsman.providers.dialects import completions
from pointsman.wire.chat import TextDelta


@cases("streams_out")
def test_a_stream_is_written(case: Any) -> None:
    writer = completions.stream_writer(reply_terms(include_usage=case["include_usage"]))
    text = b"".join([*map(writer.write, built(case["canonical"])), writer.close()])
    assert text.decode() == "".join(line + "\n\n" for line in case["native"])


@cases("streams_out")
def test_every_chunk_has_a_text_and_what_openais_sdk_requires(case: Any) -> None:
    *lines, last = case["native"]
    assert last == "data: [DONE]"
    for line in lines:
        chunk = json.loads(line.removeprefix("data: "))
        assert all(type(choice["text"]) is str for choice in chunk["choices"])
        for choice in chunk["choices"]:
            # The type knows no chunk without a reason, though the API sends them so.
            choice["finish_reason"] = choice["finish_reason"] or "stop"
        Completion.model_validate_json(json.dumps(chunk), strict=True)


def test_a_stream_that_was_not_said_to_begin_begins_all_the_same() -> None:
    writer = completions.stream_writer(reply_terms())
    assert b'"id":"cmpl-u1"' in writer.write(TextDelta("a"))


def test_log_probabilities_may_come_after_the_text() -> None:
    writer = completions.stream_writer(reply_terms())
    writer.write(TextDelta("Hi"))
    assert b'"tokens":["Hi"]' in writer.write(TextDelta("", logprobs=[{"token": "Hi", "logprob": -0.5}]))
    assert writer.write(TextDelta("")) == b""
