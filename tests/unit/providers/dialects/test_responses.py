from __future__ import annotations

import pytest

from pointsman.providers.dialects import responses
from pointsman.providers.translation import Inbound, Outbound

OUTBOUND: Outbound = responses
INBOUND: Inbound = responses


@pytest.mark.parametrize(
    ("base_path", "path"),
    [
        ("", "/responses"),
        ("/v1", "/v1/responses"),
        ("/v1/", "/v1/responses"),
        ("/openai/v1/responses", "/openai/v1/responses"),
        ("/v1/responses/", "/v1/responses"),
    ],
)
@pytest.mark.parametrize("operation", ["chat", "responses"])
def test_every_conversation_goes_to_one_path(base_path: str, operation: str, path: str) -> None:
    assert OUTBOUND.path(base_path, operation, "gpt-5.4", is_stream=True) == path


def test_the_module_says_what_it_is() -> None:
    assert OUTBOUND.NAME == INBOUND.NAME == "responses"
    assert OUTBOUND.FRAMING == "sse"
