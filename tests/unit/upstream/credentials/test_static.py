from __future__ import annotations

from typing import Literal

import pytest

from pointsman.upstream.credentials.static import Static
from pointsman.wire.secret import Secret

CANARY = Secret("canary")


@pytest.mark.parametrize(
    ("kind", "header", "lines"),
    [
        ("bearer_token", "x-api-key", {"authorization": "Bearer canary"}),
        ("api_key", "x-api-key", {"x-api-key": "canary"}),
        ("api_key", "X-Token", {"x-token": "canary"}),
    ],
)
async def test_what_the_operator_has_given_is_shown_in_its_header(
    kind: Literal["api_key", "bearer_token"], header: str, lines: dict[str, str]
) -> None:
    assert await Static(kind, header, CANARY).lines(None) == lines


async def test_there_is_no_other_one() -> None:
    assert not await Static("bearer_token", "", CANARY).renew(None, 401, "Bearer")
