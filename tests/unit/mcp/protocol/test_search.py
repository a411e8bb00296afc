from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.mcp.protocol.search import DEFAULT_LIMIT, MAX_LIMIT, TOOLS, Index, summary
from pointsman.wire.words import words

GOLDEN = Path(__file__).parents[3] / "golden" / "mcp"


def tool(description: str, /, **arguments: str) -> dict[str, Any]:
    properties = {name: {"description": about} for name, about in arguments.items()}
    return {"description": description, "inputSchema": {"type": "object", "properties": properties}}


KNOWN = {
    "files__read_file": tool("Read the contents of a file", path="Where it lies"),
    "files__write_file": tool("Create a file or overwrite one", path="Where it lies", content="The text"),
    "files__list_directory": tool("List what a directory holds", path="Which directory"),
    "git__git_log": tool("Show the commits of a branch", max_count="How many"),
    "git__git_commit": tool("Record staged changes", message="What has changed"),
    "hub__create_issue": tool("Open an issue in a repository", title="Its title", body="Its text"),
    "hub__search_issues": tool("Find issues by words", query="The words"),
    "time__convert_time": tool("Convert a time between time zones", source_timezone="From", target_timezone="To"),
    "web__fetch": tool("Fetch a URL from the internet and give its contents as markdown", url="The address"),
}


@pytest.mark.requirement("mcp.search")
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("read a file", "files__read_file"),
        ("write text into files", "files__write_file"),
        ("what is in this directory", "files__list_directory"),
        ("show me the latest commits", "git__git_log"),
        ("commit my staged changes", "git__git_commit"),
        ("opening issues", "hub__create_issue"),
        ("find an issue", "hub__search_issues"),
        ("timezone conversion", "time__convert_time"),
        ("download a web page from a url", "web__fetch"),
        ("createIssue", "hub__create_issue"),
    ],
)
def test_a_tool_is_among_the_first_for_what_it_does(query: str, name: str) -> None:
    assert name in Index(KNOWN.items()).search(query, 3)


def lines(name: str) -> Iterator[list[str]]:
    for line in (GOLDEN / name).read_text().splitlines():
        if not line.startswith("#"):
            yield [part.strip() for part in line.split("|")]


@pytest.mark.requirement("mcp.search")
def test_among_two_hundred_tools_the_right_one_is_found_and_the_list_is_a_tenth() -> None:
    rows = lines("toolbox.txt")
    tools = {name: tool(about, **dict.fromkeys(" ".join(more).split(), "")) for name, about, *more in rows}
    assert len(tools) >= 200
    index = Index(tools.items())
    asked = list(lines("questions.txt"))
    found = [name in index.search(question, 5) for question, name in asked]
    assert sum(found) / len(asked) >= 0.9
    whole = msgspec.json.encode([{"name": name} | one for name, one in tools.items()])
    assert len(msgspec.json.encode(TOOLS)) <= len(whole) / 10


def test_what_fits_nothing_finds_nothing_and_an_empty_index_too() -> None:
    assert Index(KNOWN.items()).search("quantum flux") == []
    assert Index(KNOWN.items()).search("") == []
    assert Index(()).search("file") == []


def test_there_are_as_many_as_were_asked_for_and_never_more_than_there_may_be() -> None:
    index = Index((f"t{at}", tool("does the same thing")) for at in range(100))
    assert index.search("same thing") == [f"t{at}" for at in range(DEFAULT_LIMIT)]
    assert len(index.search("same thing", 1000)) == MAX_LIMIT
    assert index.search("same", -1) == []


def test_words_are_compared_without_their_endings() -> None:
    assert words("Files readFile READING http2Server") == ["fil", "read", "fil", "read", "http", "2", "server"]
    for one, other in (("file", "files"), ("issue", "issues"), ("directory", "directories"), ("class", "classes")):
        assert words(one) == words(other)


def test_a_tool_that_says_strange_things_is_found_by_its_name() -> None:
    odd: dict[str, Any] = {"description": 5, "inputSchema": {"properties": {"a": "x"}}}
    assert Index([("odd_one", odd), ("other", {"inputSchema": []})]).search("odd") == ["odd_one"]
    assert summary("odd_one", odd) == {"name": "odd_one", "description": ""}


def test_a_summary_is_the_first_line() -> None:
    assert summary("t", tool("\nDoes it.\nAnd how.")) == {"name": "t", "description": "Does it."}


def test_the_three_tools_tell_what_they_take() -> None:
    assert [one["name"] for one in TOOLS] == ["search_tools", "describe_tool", "call_tool"]
    assert all(one["inputSchema"]["type"] == "object" for one in TOOLS)
