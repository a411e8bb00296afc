from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pointsman import errors
from pointsman.errors import CallerError, GatewayError, ServiceError, UpstreamError, UpstreamRejected

FAMILIES = {CallerError, ServiceError, UpstreamError}


def tree(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def make(kind: type[GatewayError]) -> GatewayError:
    return kind(status=400, kind="k") if issubclass(kind, UpstreamRejected) else kind()


LEAVES = [kind for kind in tree() if not kind.__subclasses__()]


def test_the_tree_is_the_one_that_the_module_shows() -> None:
    shown = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(shown) == sorted(kind.__name__ for kind in tree() if kind is not GatewayError)
    assert len(shown) <= 32


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf is not UpstreamRejected], ids=lambda k: k.__name__)
def test_the_module_shows_each_status(leaf: type[GatewayError]) -> None:
    assert re.search(rf"── {leaf.__name__} +{leaf.status}\b", errors.__doc__ or "")


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda k: k.__name__)
def test_the_docstring_is_the_default_message(leaf: type[GatewayError]) -> None:
    error = make(leaf)
    assert leaf.__doc__
    assert error.message == str(error) == leaf.__doc__
    assert "\n" not in error.message


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda k: k.__name__)
def test_an_error_knows_whose_fault_it_is(leaf: type[GatewayError]) -> None:
    (family,) = FAMILIES & set(leaf.__mro__)
    assert leaf.source == {CallerError: "caller", ServiceError: "gateway", UpstreamError: "upstream"}[family]
    if leaf is not UpstreamRejected:
        assert 400 <= leaf.status < 600
        assert (leaf.status < 500) is (family is CallerError)


def test_only_what_another_try_can_help_is_retryable() -> None:
    assert {kind.__name__ for kind in LEAVES if make(kind).is_retryable} == {
        "BodyTimeout",
        "RateLimited",
        "Overloaded",
        "UpstreamUnreachable",
        "UpstreamBroken",
        "SessionLost",
        "UpstreamTimeout",
    }


def test_what_is_told_goes_before_the_default() -> None:
    error = errors.RateLimited("slow down", code="c", param="p", retry_after=2.5, headers=(("a", "b"),))
    assert (error.message, error.code, error.param, error.retry_after) == ("slow down", "c", "p", 2.5)
    assert error.headers == (("a", "b"),)
    assert errors.RateLimited().code == "rate_limit_exceeded"


def test_what_is_for_the_operator_is_not_in_the_text() -> None:
    error = errors.UpstreamBroken(operator_detail="10.0.0.1 sent garbage")
    assert error.operator_detail == "10.0.0.1 sent garbage"
    assert "10.0.0.1" not in f"{error}{error!r}"


def test_a_refusal_has_the_upstreams_own_status_type_and_code() -> None:
    error = UpstreamRejected("no", status=418, kind="teapot", code=None, param="cup", is_retryable=True)
    assert (error.status, error.kind, error.code, error.param, error.is_retryable) == (418, "teapot", None, "cup", True)
    assert UpstreamRejected.status == 502
