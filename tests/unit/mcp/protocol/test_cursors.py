from __future__ import annotations

import base64

import pytest

from pointsman.mcp.protocol import cursors


def test_a_cursor_gives_back_where_each_server_goes_on() -> None:
    text = cursors.write({"a": "page 2", "b": "☃"})
    assert text is not None
    assert cursors.read(text) == {"a": "page 2", "b": "☃"}


def test_where_no_server_goes_on_there_is_no_cursor() -> None:
    assert cursors.write({}) is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "no cursor!",
        "bm9uZQ==",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b'{"a": 1}').decode(),
        "x" * 100_000,
    ],
)
def test_what_is_no_cursor_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="cursor"):
        cursors.read(text)
