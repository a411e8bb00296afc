from __future__ import annotations

import json
from typing import Any

from unit.providers.dialects.openai.golden import cases

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects import openai
from pointsman.providers.failures import classify
from pointsman.providers.translation import Inbound, Outbound


def test_the_module_is_a_dialect_in_both_directions() -> None:
    outbound: Outbound = openai
    inbound: Inbound = openai
    assert (outbound.NAME, outbound.FRAMING, inbound.NAME) == ("openai", "sse", "openai")


@cases("errors")
def test_an_error_is_classified(case: Any) -> None:
    native = case["native"]
    error = classify(
        case["status"],
        [(name.encode(), value.encode()) for name, value in case["headers"]],
        native.encode() if isinstance(native, str) else json.dumps(native).encode(),
        secrets=("sk-secret",),
        address="https://api.openai.com/v1",
        now=0.0,
    )
    found = {name: getattr(error, name) for name in ("status", "kind", "code", "param", "message")}
    assert found == case["expected"]


def test_an_error_has_the_four_members_that_the_sdks_read() -> None:
    error = InvalidRequest("No", param="messages[0].role")
    expected = {"error": {"message": "No", "type": "invalid_request_error", "param": "messages[0].role", "code": None}}
    assert json.loads(openai.error_body(error)) == expected
    assert openai.error_event(error) == b"data: " + openai.error_body(error) + b"\n\n"
