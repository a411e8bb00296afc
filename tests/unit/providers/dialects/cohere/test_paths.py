from __future__ import annotations

import pytest

from pointsman.providers.dialects import cohere
from pointsman.providers.dialects.cohere.paths import native_path
from pointsman.wire.operations import CHAT, EMBEDDINGS, RERANK, TRANSCRIPTION, Operation

BASES = ["", "/", "/v1", "/v2", "/v2/", "/compatibility/v1", "/v2/chat", "/v2/embed", "/v2/rerank", "/v1/rerank"]


@pytest.mark.parametrize("base", BASES)
def test_chat_and_embed_are_native_wherever_the_address_points(base: str) -> None:
    assert cohere.path(base, CHAT.name, "m", is_stream=True) == "/v2/chat"
    assert native_path(f"/proxy{base}", "/embed") == "/proxy/v2/embed"


@pytest.mark.parametrize("base", BASES)
def test_transcription_is_on_the_openai_wire(base: str) -> None:
    found = cohere.path(base, TRANSCRIPTION.name, "m", is_stream=False)
    assert found == "/compatibility/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("base_path", "operation", "target"),
    [
        ("/compatibility/v1", CHAT, b"/compatibility/v1/chat/completions"),
        ("/compatibility/v1", EMBEDDINGS, b"/compatibility/v1/embeddings"),
        ("/compatibility/v1", RERANK, b"/v2/rerank"),
        ("", RERANK, b"/v2/rerank"),
        ("", CHAT, b"/compatibility/v1/chat/completions"),
        ("/v1", RERANK, b"/v1/rerank"),
        ("/v2/", RERANK, b"/v2/rerank"),
        ("/v2/rerank", RERANK, b"/v2/rerank"),
        ("/v2", CHAT, b"/compatibility/v1/chat/completions"),
        ("/proxy/cohere/compatibility/v1", RERANK, b"/proxy/cohere/v2/rerank"),
    ],
)
def test_rerank_is_native_and_the_rest_on_the_openai_root(base_path: str, operation: Operation, target: bytes) -> None:
    assert cohere.target(base_path, operation) == target
