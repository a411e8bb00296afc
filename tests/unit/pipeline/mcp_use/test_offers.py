from __future__ import annotations

from typing import Any

import pytest
from unit.pipeline.mcp_use.making import SCHEMA, entries, offered, offers, tool

from pointsman.errors import InvalidRequest
from pointsman.pipeline.mcp_use.offers import NOBODY, Offers, offer, schema_of, wanted_of


def test_an_offer_is_found_by_the_name_that_the_model_calls_it() -> None:
    every = offers()
    one = every.of("depot__echo")
    assert one is not None
    assert (one.server, one.name, one.label, one.is_approved) == ("depot", "echo", "d", True)
    assert every.of("echo") is None
    assert every.of(None) is None
    assert [one.public for one in every] == ["depot__echo", "depot__clock"]


def test_within_a_label_either_name_finds_it() -> None:
    every = offers()
    assert every.named("d", "echo") is every.named("d", "depot__echo") is every.of("depot__echo")
    assert every.named("other", "echo") is None


def test_of_two_entries_about_one_server_the_first_counts() -> None:
    first, second = entries(tool(label="a"), tool(label="b", require_approval="always"))
    every = Offers([first, second], [offered(first), offered(second)])
    assert [one.label for one in every] == ["a"]


def test_a_function_of_the_client_must_not_have_the_name_of_one() -> None:
    offers().set_apart(["mine", None])
    with pytest.raises(InvalidRequest, match="depot__echo"):
        offers().set_apart(["mine", "depot__echo"])


def test_a_tool_that_the_model_makes_up_is_nobodys_unless_it_is_the_clients() -> None:
    every = offers()
    made_up = every.of("depot__other")
    assert made_up is not None
    assert (made_up.server, made_up.is_approved) == (NOBODY, True)
    every.set_apart(["depot__other"])
    assert every.of("depot__other") is None
    assert every.of("other__echo") is None


def test_only_allowed_tools_are_offered() -> None:
    [entry] = entries(tool(allowed_tools=["clock"]))
    assert offer(entry, "depot", "echo", "depot__echo", b'{"name":"echo"}') is None
    assert offer(entry, "depot", "clock", "depot__clock", b'{"name":"clock"}') is not None


def test_only_those_that_change_nothing_are_offered_if_that_is_wanted() -> None:
    [entry] = entries(tool(allowed_tools={"read_only": True}))
    told = b'{"name":"echo","annotations":{"readOnlyHint":true}}'
    assert offer(entry, "depot", "echo", "depot__echo", told) is not None
    assert offer(entry, "depot", "echo", "depot__echo", b'{"name":"echo"}') is None


def test_what_has_no_definition_is_not_offered() -> None:
    [entry] = entries(tool())
    assert offer(entry, "depot", "echo", "depot__echo", b'{"name":"echo","inputSchema":7}') is None


def test_arguments_are_always_an_object_with_properties() -> None:
    [entry] = entries(tool())
    assert schema_of(offered(entry)) == SCHEMA
    assert schema_of(offered(entry, inputSchema=None)) == {"type": "object", "properties": {}}
    assert schema_of(offered(entry, inputSchema={"type": "object", "$defs": {}})) == {
        "type": "object",
        "$defs": {},
        "properties": {},
    }


@pytest.mark.parametrize(("given", "text"), [('{"a":1}', '{"a":1}'), ({"a": 1}, '{"a":1}'), (None, "{}"), ("", "{}")])
def test_arguments_are_json_text_however_a_provider_gives_them(given: Any, text: str) -> None:
    [entry] = entries(tool())
    wanted = wanted_of(offered(entry), None, given)
    assert (wanted.id, wanted.arguments) == ("", text)
