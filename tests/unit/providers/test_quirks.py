"""Where vendors of the OpenAI wire differ from it."""

from __future__ import annotations

import re
from typing import Any

from pointsman.providers.base import Vendor
from pointsman.providers.quirks import Quirks, quirks_of

MISTRAL = Vendor(
    name="mistral",
    renames={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
    drops=frozenset({"logit_bias"}),
    tool_id="[a-zA-Z0-9]{9}",
)


def _fitted(body: dict[str, Any], vendor: Vendor = MISTRAL) -> tuple[dict[str, Any], list[str]]:
    lost: list[str] = []
    return Quirks(vendor).fit(body, lost.append), lost


def test_a_field_is_sent_by_the_name_that_the_vendor_knows() -> None:
    assert _fitted({"seed": 7, "top_p": 1}) == ({"random_seed": 7, "top_p": 1}, [])


def test_a_field_that_stands_there_by_the_vendors_name_goes_before() -> None:
    assert _fitted({"max_completion_tokens": 5, "max_tokens": 9})[0] == {"max_tokens": 9}


def test_a_field_that_the_vendor_refuses_is_left_out_and_told() -> None:
    assert _fitted({"logit_bias": {"1": 2}, "n": 1}) == ({"n": 1}, ["logit_bias"])
    assert _fitted({"logit_bias": None})[1] == []


def test_reasoning_of_other_vendors_is_left_out_without_a_word() -> None:
    strict = Vendor(name="x", has_developer_role=True, message_drops=frozenset({"reasoning_content"}))
    said = {"role": "assistant", "content": "a"}
    quirks, lost = quirks_of(strict), list[str]()
    assert quirks is not None
    assert quirks.concern(b'{"messages":[{"reasoning_content":"hm"}]}')
    body = {"messages": [said | {"reasoning_content": "hm"}, {"role": "user"}], "reasoning_content": 1}
    assert quirks.fit(body, lost.append) == {"messages": [said, {"role": "user"}], "reasoning_content": 1}
    assert lost == []


def test_the_developer_is_the_system_where_that_role_is_unknown() -> None:
    body = {"messages": [{"role": "developer", "content": "x"}]}
    assert _fitted(body)[0]["messages"] == [{"role": "system", "content": "x"}]
    knows = Vendor(name="x", has_developer_role=True, tool_id="x")
    assert _fitted(body, knows)[0] == body


def test_ids_of_tool_calls_are_made_to_fit_and_still_belong_together() -> None:
    call = {"id": "call_abc", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "messages": [
            {"role": "assistant", "tool_calls": [call, {"id": "abcdef123"}]},
            {"role": "tool", "tool_call_id": "call_abc"},
        ]
    }
    said, answered = _fitted(body)[0]["messages"]
    assert re.fullmatch("[a-zA-Z0-9]{9}", said["tool_calls"][0]["id"])
    assert said["tool_calls"][0]["id"] == answered["tool_call_id"]
    assert said["tool_calls"][1]["id"] == "abcdef123"


def test_what_is_no_message_stays_for_the_vendor_to_refuse() -> None:
    body: dict[str, Any] = {"messages": ["x", {"role": "assistant", "tool_calls": [7]}]}
    assert _fitted(body)[0] == body


def test_a_body_without_any_of_the_words_is_left_alone() -> None:
    quirks = Quirks(MISTRAL)
    assert not quirks.concern(b'{"messages":[{"role":"user","content":"hi"}]}')
    assert quirks.concern(b'{"seed":1}')
    assert quirks.concern(b'{"messages":[{"role":"developer"}]}')


def test_a_vendor_that_is_like_openai_has_none() -> None:
    assert quirks_of(Vendor(name="openai", has_developer_role=True)) is None
    assert quirks_of(MISTRAL) is not None
