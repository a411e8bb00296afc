from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.converse.models import Model, model_of, model_path, path

ARN = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", Model(maker="claude", generation=(3, 5))),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", Model(maker="claude", generation=(4, 0))),
        ("converse/global.anthropic.claude-opus-4-6-v1", Model(maker="claude", generation=(4, 6))),
        ("anthropic.claude-v2:1", Model(maker="claude")),
        (ARN, Model(maker="claude", generation=(3, 0))),
        ("amazon.nova-pro-v1:0", Model(maker="nova")),
        ("us.amazon.nova-2-lite-v1:0", Model(maker="nova-2")),
        ("nova/arn:aws:bedrock:us-east-1:1:custom-model-deployment/x", Model(maker="nova")),
        ("openai.gpt-oss-20b-1:0", Model(maker="gpt-oss")),
        ("moonshot.kimi-k2-thinking", Model(maker="gpt-oss")),
        ("us.openai.gpt-5.6-sol", Model(maker="gpt")),
        ("mistral.mistral-7b-instruct-v0:2", Model(maker="mistral")),
        ("deepseek.r1-v1:0", Model(maker="other")),
        ("eu-west-1/meta.llama3-1-8b-instruct-v1:0", Model(maker="other")),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", Model(maker="unknown")),
    ],
)
def test_a_model_is_known_by_its_name_however_it_is_spelled(name: str, model: Model) -> None:
    assert model_of(name) == model


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1%3A0"),
        ("converse/amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3A0"),
        ("eu-west-1/1-month-commitment/anthropic.claude-v2", "anthropic.claude-v2"),
        ("nova/" + ARN, ARN.replace(":", "%3A").replace("/", "%2F")),
        ("x?a=b#c", "x%3Fa%3Db%23c"),
        ("arn:../../y", "arn%3A..%2F..%2Fy"),
    ],
)
def test_the_model_is_one_segment_of_the_path(name: str, segment: str) -> None:
    assert path("", "chat", name, is_stream=False) == f"/model/{segment}/converse"
    assert path("/proxy/", "chat", name, is_stream=True) == f"/proxy/model/{segment}/converse-stream"


@pytest.mark.parametrize("name", ["", "..", "a/..", "a/", "."])
def test_a_name_that_would_change_the_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as failure:
        model_path("", name, "converse")
    assert failure.value.param == "model"


def test_claude_is_known_by_what_it_takes() -> None:
    early, late = model_of("anthropic.claude-3-haiku-20240307-v1:0"), model_of("anthropic.claude-opus-4-7")
    assert (early.has_formats, early.is_sampled, early.has_cache) == (False, True, True)
    assert (late.has_formats, late.is_sampled, late.has_cache) == (True, False, True)
    assert not model_of("meta.llama3-1-8b-instruct-v1:0").has_cache
