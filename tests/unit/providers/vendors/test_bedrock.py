from __future__ import annotations

import pytest

from pointsman.providers.base import VendorOptions
from pointsman.providers.vendors import bedrock


@pytest.mark.requirement("clouds.addresses")
@pytest.mark.parametrize(
    ("region", "given", "address"),
    [
        ("eu-central-1", None, "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("cn-north-1", None, "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        (None, None, "https://bedrock-runtime.us-west-2.amazonaws.com"),
        ("eu-central-1", "https://vpce-1.test/", "https://vpce-1.test"),
    ],
)
def test_each_region_has_an_address(region: str | None, given: str | None, address: str) -> None:
    assert bedrock.base_url(VendorOptions(region=region), given) == address


@pytest.mark.parametrize(
    ("model", "region"),
    [
        ("arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/a1", "eu-west-3"),
        ("converse/arn:aws-us-gov:bedrock:us-gov-west-1:1:custom-model/x", "us-gov-west-1"),
        ("eu-central-1/anthropic.claude-v2", "eu-central-1"),
        ("converse/us-gov-east-1/anthropic.claude-v2", "us-gov-east-1"),
        ("us.anthropic.claude-v2", None),
        ("converse/anthropic.claude-v2:1", None),
        ("eu-central-1", None),
    ],
)
def test_a_models_name_may_carry_its_region(model: str, region: str | None) -> None:
    assert bedrock.region_of(model) == region


def test_the_dialect_knows_the_rest() -> None:
    options = VendorOptions()
    assert bedrock.dialect("cohere.command") == "converse"
    assert bedrock.name("converse/x") == "converse/x"
    assert bedrock.path("", "chat", "x", is_stream=True, options=options) is None
    assert bedrock.root("/b", "x", options) == "/b"
    assert bedrock.adapt("chat", "x", {"messages": []}) == {"messages": []}


@pytest.mark.parametrize(
    ("model", "area"),
    [
        ("us.anthropic.claude-v2", "us"),
        ("converse/eu.amazon.nova-pro-v1:0", "eu"),
        ("arn:aws:bedrock:eu-west-3:1:inference-profile/global.anthropic.x", "global"),
        ("us-gov.anthropic.x", "us-gov"),
        ("anthropic.claude-v2", None),
        ("eu-central-1/anthropic.claude-v2", None),
    ],
)
def test_a_models_name_may_carry_where_it_may_answer(model: str, area: str | None) -> None:
    assert bedrock.area_of(model) == area
