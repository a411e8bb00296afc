from __future__ import annotations

import pytest

from pointsman.providers.dialects.voyage.paths import path_of


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/v1/below"])
def test_an_address_may_point_at_the_host_the_root_or_the_path(base: str) -> None:
    assert path_of(base, "/below") == "/v1/below"
    assert path_of(f"/proxy{base}", "/below") == "/proxy/v1/below"
