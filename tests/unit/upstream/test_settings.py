from __future__ import annotations

import msgspec
import pytest

from pointsman.upstream.settings import Timeouts, UpstreamSettings


def test_the_default_deadlines_hold_each_other() -> None:
    timeouts = UpstreamSettings().timeouts
    assert timeouts.connect < timeouts.idle < timeouts.first_byte < timeouts.total


def test_certificates_are_verified_unless_told_otherwise() -> None:
    assert UpstreamSettings().verify_tls


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        msgspec.convert({"connect": 1.0}, Timeouts).connect = 2.0  # type: ignore[misc]
