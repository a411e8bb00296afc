from __future__ import annotations

from pointsman.errors import CONNECT_TIMEOUT
from pointsman.routing.failures import kind_of, may_have_acted
from pointsman.routing.settings import FailureKind
from pointsman.upstream.credentials.base import refused, unavailable


def test_a_cloud_that_does_not_know_the_gateway_is_a_matter_of_the_credential() -> None:
    error = refused("entra said no")
    assert kind_of(error) is FailureKind.AUTHENTICATION
    assert not error.is_retryable
    assert "entra" not in error.message
    assert error.operator_detail == "entra said no"


def test_without_a_credential_nothing_was_acted_on_so_another_may_be_asked() -> None:
    error = unavailable("timeout")
    assert error.is_retryable
    assert not may_have_acted(error)
    assert error.code != CONNECT_TIMEOUT
