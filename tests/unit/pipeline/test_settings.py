from __future__ import annotations

import pytest

from pointsman.pipeline.settings import ServingSettings


def test_defaults_bound_the_body_and_leave_times_to_the_upstream_client() -> None:
    settings = ServingSettings()
    assert 0 < settings.max_body_bytes <= 256 * 1024 * 1024
    assert settings.request_timeout is None
    assert settings.stream_timeout is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ServingSettings().max_body_bytes = 1  # type: ignore[misc]
