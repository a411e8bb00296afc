from __future__ import annotations

import pytest

from pointsman.providers.dialects import ollama
from pointsman.providers.dialects.ollama.paths import native_path


@pytest.mark.parametrize("base", ["", "/", "/api", "/api/", "/v1", "/api/chat", "/api/embed"])
def test_an_address_may_point_at_any_root(base: str) -> None:
    assert ollama.path(base, "chat", "m", is_stream=True) == "/api/chat"
    assert ollama.path(f"/gpu{base}", "text_completion", "m", is_stream=False) == "/gpu/v1/completions"
    assert native_path(base, "embed") == "/api/embed"
