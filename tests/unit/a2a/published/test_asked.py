from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.published.asked import turn_of
from pointsman.wire.jsonrpc import RpcError


def test_texts_and_data_are_one_text() -> None:
    assert turn_of({"parts": [{"text": "Look"}, {"data": {"n": 1}}]}) == {"role": "user", "content": 'Look\n{"n":1}'}


def test_pictures_and_files_are_parts() -> None:
    parts = [
        {"text": "See"},
        {"url": "https://a/b.png", "mediaType": "image/png"},
        {"raw": "QUJD", "mediaType": "image/gif"},
        {"raw": "QUJD", "mediaType": "application/pdf", "filename": "x.pdf"},
        {"raw": "QUJD"},
    ]
    assert turn_of({"parts": parts})["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,QUJD"}},
        {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        {"type": "file", "file": {"filename": "file", "file_data": "data:application/octet-stream;base64,QUJD"}},
    ]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (None, -32602),
        ([], -32602),
        (["x"], -32602),
        ([{}], -32602),
        ([{"raw": "QUJD", "mediaType": 1}], -32602),
        ([{"url": "https://a/b.pdf", "mediaType": "application/pdf"}], -32005),
    ],
)
def test_what_no_model_can_be_told_is_refused(parts: Any, code: int) -> None:
    with pytest.raises(RpcError) as error:
        turn_of({"parts": parts})
    assert error.value.code == code
