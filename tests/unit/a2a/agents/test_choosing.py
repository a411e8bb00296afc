from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.agents.choosing import MOST, Ways, ordered
from pointsman.a2a.base import Interface
from pointsman.a2a.protocol.operations import Binding, Operation, Version
from pointsman.a2a.settings import AgentSettings

URL = "http://agent.test/a"


def way(version: Version, binding: Binding = "jsonrpc", url: str = URL, tenant: str = "") -> Interface:
    return Interface(url=url, binding=binding, version=version, tenant=tenant)


def settings(**members: Any) -> AgentSettings:
    return AgentSettings(id="a", name="A", url=URL, **members)


def test_the_version_of_the_client_comes_first_and_json_rpc_before_rest_and_guesses_last() -> None:
    card = (way("1.0", "rest"), way("0.3"), way("1.0"), way("0.3", "rest"))
    assert ordered(card, settings(), "1.0") == (way("1.0"), way("1.0", "rest"), way("0.3"), way("0.3", "rest"))
    assert ordered(card, settings(), "0.3")[:2] == (way("0.3"), way("0.3", "rest"))
    guesses = way("0.3"), way("0.3", "rest"), way("1.0", "rest")
    assert ordered((way("1.0", tenant="t"),), settings(), "0.3") == (way("1.0", tenant="t"), *guesses)
    guesses = way("0.3", "rest"), way("1.0"), way("0.3")
    assert ordered((way("1.0", "rest"),), settings(), "1.0") == (way("1.0", "rest"), *guesses)


def test_what_is_pinned_is_not_guessed_at() -> None:
    assert ordered((way("0.3"),), settings(protocol_version="0.3"), "1.0") == (way("0.3"), way("0.3", "rest"))
    assert ordered((way("0.3"),), settings(binding="jsonrpc"), "1.0") == (way("0.3"), way("1.0"))
    assert ordered((), settings(protocol_version="0.3", binding="rest"), "1.0") == (way("0.3", "rest"),)


def test_without_any_interface_the_registered_address_is_tried() -> None:
    assert ordered((), settings(), "0.3")[:2] == (way("0.3"), way("1.0"))


def test_what_did_not_work_is_not_tried_again_until_the_card_changes() -> None:
    ways, card = Ways(settings(binding="jsonrpc")), (way("1.0"),)
    assert ways.for_(card, "1.0") == (way("1.0"), way("0.3"))
    assert ways.has_worked(way("0.3"), [way("1.0")], Operation.SEND)
    assert not ways.has_worked(way("0.3"), [way("1.0")], Operation.SEND)
    assert ways.for_(card, "1.0") == ways.for_((way("1.0"),), "0.3") == (way("0.3"),)
    assert ways.for_((way("1.0"), way("1.0", "rest")), "1.0")[0] == way("1.0")


def test_what_works_is_not_wrong_whatever_was_said_of_it() -> None:
    ways, card = Ways(settings(binding="jsonrpc")), (way("1.0"),)
    ways.for_(card, "1.0")
    ways.has_worked(way("0.3"), [way("1.0")], Operation.SEND)
    ways.has_worked(way("1.0"), [way("0.3")], Operation.SEND)
    assert ways.for_(card, "0.3") == (way("1.0"),)


def test_when_nothing_works_any_more_all_ways_are_open_again() -> None:
    ways, card = Ways(settings(binding="jsonrpc")), (way("1.0"),)
    ways.for_(card, "1.0")
    ways.has_worked(way("0.3"), [way("1.0")], Operation.SEND)
    ways.forget()
    assert ways.for_(card, "1.0") == (way("1.0"), way("0.3"))


def test_an_operation_that_not_every_agent_has_teaches_nothing() -> None:
    ways, card = Ways(settings(binding="jsonrpc")), (way("0.3"),)
    assert not ways.has_worked(way("1.0"), [way("0.3")], Operation.LIST)
    assert ways.for_(card, "0.3") == (way("0.3"), way("1.0"))


@pytest.mark.parametrize(("operation", "is_firm"), [(Operation.LIST, True), (Operation.SEND, False)])
def test_what_has_worked_once_is_the_right_way_for_what_may_be_missing(operation: Operation, *, is_firm: bool) -> None:
    ways = Ways(settings())
    assert not ways.is_firm(way("1.0"), operation)
    assert not ways.is_proven(way("1.0"))
    ways.has_worked(way("1.0"), [], Operation.GET)
    assert ways.is_firm(way("1.0"), operation) is is_firm
    assert ways.is_proven(way("1.0"))


def test_there_is_always_a_way_and_never_too_many() -> None:
    ways = Ways(settings(protocol_version="1.0"))
    card = tuple(way("1.0", url=f"{URL}/{number}") for number in range(9))
    assert len(ways.for_(card, "1.0")) == MOST
    other = Ways(settings(protocol_version="1.0", binding="jsonrpc"))
    assert other.for_((way("1.0"),), "1.0") == (way("1.0"),)
    other.has_worked(way("0.3"), [way("1.0")], Operation.SEND)
    assert other.for_((way("1.0"),), "1.0") == (way("1.0"),)
