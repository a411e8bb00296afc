from __future__ import annotations

from pointsman.wire.chat import (
    Answer,
    Choice,
    Finished,
    Image,
    Refusal,
    RefusalDelta,
    Seal,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingSealed,
    ToolCall,
    ToolDelta,
    ToolOpened,
    UsageSeen,
    WholePart,
)
from pointsman.wire.telling import events_of
from pointsman.wire.usage import Usage


def test_an_answer_is_told_part_by_part_and_choice_by_choice() -> None:
    image = Image(url="http://a.test")
    seal = Seal("anthropic", "s")
    one = Choice(
        parts=[
            Thinking("hm", seal),
            Text("Hi", annotations=[{"a": 1}]),
            Text("there"),
            ToolCall(id="c1", name="f", arguments="{}"),
            ToolCall(id="c2", name="g", arguments="x", kind="custom"),
            image,
        ],
        finish="tool_calls",
        logprobs=[{"token": "Hi"}],
    )
    two = Choice(parts=[Refusal("No.")], finish="refusal", index=1, detail="policy")
    usage = Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    answer = Answer(choices=[one, two], id="a1", model="m", created=5, usage=usage, dialect="openai")

    assert list(events_of(answer)) == [
        Started(id="a1", model="m", created=5),
        ThinkingDelta("hm"),
        ThinkingSealed(seal),
        TextDelta("Hi", logprobs=[{"token": "Hi"}], annotations=[{"a": 1}]),
        TextDelta("there"),
        ToolOpened(index=0, id="c1", name="f"),
        ToolDelta(0, "{}"),
        ToolOpened(index=1, id="c2", name="g", kind="custom"),
        ToolDelta(1, "x"),
        WholePart(image),
        Finished("tool_calls"),
        RefusalDelta("No.", 1),
        Finished("refusal", 1, detail="policy"),
        UsageSeen(usage),
    ]


def test_reasoning_that_is_hidden_is_a_seal_alone_and_unknown_usage_is_not_told() -> None:
    hidden = Thinking("", Seal("anthropic", "s"), is_redacted=True)
    answer = Answer(choices=[Choice(parts=[hidden], finish="stop")], dialect="openai")

    assert list(events_of(answer)) == [
        Started(),
        ThinkingSealed(Seal("anthropic", "s"), is_redacted=True),
        Finished("stop"),
    ]
