from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.searching import MAX_LIMIT, Entry, Page, Wanted, find, read_query
from pointsman.errors import InvalidRequest

WEATHER = Entry(
    id="weather",
    name="Weather",
    description="Tells the weather of a city",
    capabilities=("chat",),
    card={
        "capabilities": {"streaming": True, "pushNotifications": False},
        "skills": [{"id": "forecast", "name": "City Forecast", "description": "Rain or sun", "tags": ["Meteo"]}],
    },
    state="healthy",
)
CODER = Entry(id="coder", name="Coder", description="Writes programs", capabilities=("chat", "code"), state="unhealthy")
ODD = Entry(
    id="odd",
    name="Odd",
    card={"skills": [5, {"id": 1, "tags": "x"}, {"tags": [2, "y"]}], "capabilities": "all", "description": 3},
)
ALL = (WEATHER, ODD, CODER)


def asked(**query: str) -> Wanted:
    return read_query(query.get)


@pytest.mark.requirement("a2a.search")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ("coder", "odd", "weather")),
        ({"capability": "chat"}, ("coder", "weather")),
        ({"capability": "CODE"}, ("coder",)),
        ({"capability": "streaming"}, ("weather",)),
        ({"capability": "pushNotifications"}, ()),
        ({"capability": "forecast"}, ("weather",)),
        ({"skill": "forecast"}, ("weather",)),
        ({"skill": "city forecast"}, ("weather",)),
        ({"skill": "code"}, ("coder",)),
        ({"skill": "meteo"}, ()),
        ({"tag": "meteo"}, ("weather",)),
        ({"tag": "chat"}, ("coder", "weather")),
        ({"tag": "y"}, ("odd",)),
        ({"q": "will there be rain in the city"}, ("weather",)),
        ({"q": "write a program"}, ("coder",)),
        ({"q": "quantum flux"}, ()),
        ({"healthy": "true"}, ("weather",)),
        ({"healthy": "false"}, ("coder",)),
        ({"tag": "chat", "healthy": "1", "q": "weather"}, ("weather",)),
    ],
)
def test_agents_are_found_by_what_they_can_do_and_how_they_are(query: dict[str, str], ids: tuple[str, ...]) -> None:
    assert find(ALL, asked(**query)) == Page(ids=ids, next_cursor=None)


@pytest.mark.requirement("a2a.search")
@pytest.mark.parametrize("words", ["", "agent"])
def test_pages_follow_each_other_and_miss_nothing(words: str) -> None:
    agents = [Entry(id=f"a{number}", name="agent") for number in range(10)]
    found: list[str] = []
    query = {"q": words, "limit": "3"}
    while True:
        page = find(agents, asked(**query))
        found += page.ids
        if page.next_cursor is None:
            break
        query["cursor"] = page.next_cursor
    assert found == [f"a{number}" for number in range(10)]


def test_a_page_goes_on_although_its_last_agent_is_gone() -> None:
    first = find(ALL, asked(limit="1"))
    assert first.ids == ("coder",)
    assert find((WEATHER, ODD), asked(cursor=first.next_cursor or "")).ids == ("odd", "weather")
    gone = find(ALL, Wanted(q="city writes", limit=1))
    with pytest.raises(InvalidRequest):
        find((ODD,), asked(q="city writes", cursor=gone.next_cursor or ""))


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"limit": str(MAX_LIMIT + 1)}, "limit"),
        ({"cursor": "%"}, "cursor"),
        ({"cursor": "_w"}, "cursor"),
        ({"healthy": "perhaps"}, "healthy"),
        ({"q": "x" * 1001}, "q"),
    ],
)
def test_what_makes_no_sense_is_refused(query: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        asked(**query)
    assert refused.value.param == param
