from __future__ import annotations

from collections.abc import Mapping

import pytest

from pointsman.config.sources import collecting as module
from pointsman.config.sources.collecting import collecting


def collect(
    held: Mapping[str, bytes], main: str = "main.yaml", **environ: str
) -> tuple[list[str], dict[str, bytes], dict[str, str]]:
    """In the order in which they were asked for."""
    steps, asked = collecting(main, environ), []
    name = next(steps)
    try:
        while True:
            asked.append(name)
            name = steps.send(held.get(name, "not there"))
    except StopIteration as end:
        return asked, *end.value


def test_a_document_that_names_no_other_stands_alone() -> None:
    assert collect({"main.yaml": b"model_list: []"}) == (["main.yaml"], {"main.yaml": b"model_list: []"}, {})


def test_includes_are_followed_relative_to_whoever_names_them_and_asked_for_once() -> None:
    held = {"main.yaml": b"include: [a/x.yaml, a/y.yaml]", "a/x.yaml": b"include: y.yaml", "a/y.yaml": b"b: 1"}
    asked, documents, absent = collect(held)
    assert asked == ["main.yaml", "a/x.yaml", "a/y.yaml"]
    assert (documents, absent) == (held, {})


@pytest.mark.parametrize(
    "text",
    [
        b"include: x.yaml",
        b"'include' : x.yaml",
        b'{"a": 1, "include":"x.yaml"}',
        b"? include\n: x.yaml",
        b"{? include : x.yaml}",
        b"? include # more\n: [x.yaml]",
        b"a: &key include\n*key : x.yaml",
    ],
)
def test_includes_are_found_however_they_are_written(text: bytes) -> None:
    assert collect({"main.yaml": text, "x.yaml": b"b: 1"})[0] == ["main.yaml", "x.yaml"]


@pytest.mark.parametrize("text", [b"a: include", b"a: 'include * x'", b"includes: x.yaml", b"- http://h/include?x: 1"])
def test_a_document_in_which_only_words_are_like_that_is_not_parsed(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "parse", parse)
    assert collect({"main.yaml": text})[0] == ["main.yaml"]


def test_includes_may_lead_in_a_circle() -> None:
    held = {"main.yaml": b"include: [x.yaml]", "x.yaml": b"include: [main.yaml]"}
    assert collect(held)[0] == ["main.yaml", "x.yaml"]


def test_tables_are_beside_the_main_document_wherever_they_are_named() -> None:
    held = {
        "main.yaml": b"include: [a/x.yaml]",
        "a/x.yaml": b"pointsman_settings: {prices_file: p.json}\n"
        b"model_list: [{litellm_params: {llm_data_path: d.json, table_path: t.json}}]",
        "p.json": b'{"include": ["z.yaml"]}',
    }
    asked, documents, absent = collect(held)
    assert asked == ["main.yaml", "a/x.yaml", "p.json", "d.json", "t.json"]
    assert set(documents) == set(held)
    assert absent == {"d.json": "not there", "t.json": "not there"}


def test_documents_may_have_any_ending() -> None:
    held = {"main.json": b'{"include": ["m.json", "m.yaml"]}', "m.json": b'{"include":"n.json"}', "n.json": b"{}"}
    assert collect(held, "main.json")[0] == ["main.json", "m.json", "m.yaml", "n.json"]


def test_a_table_that_is_a_document_too_is_asked_for_once_and_followed() -> None:
    held = {"main.yaml": b"prices_file: x.json\ninclude: [x.json]", "x.json": b'{"include": ["y.json"]}'}
    assert collect(held)[0] == ["main.yaml", "x.json", "y.json"]


@pytest.mark.parametrize(
    ("set_here", "asked"),
    [
        (b"", ["e.json"]),
        (b"environment_variables: {T: d.json}", ["e.json", "d.json"]),
        (b"environment_variables: {T: os.environ/OTHER}", ["e.json", "o.json"]),
        (b"environment_variables: {T: os.environ/ABSENT}", ["e.json"]),
        (b"environment_variables: {T: 7}", ["e.json"]),
        (b"environment_variables: T", ["e.json"]),
    ],
)
def test_a_table_behind_a_variable_is_all_that_the_variable_may_be(set_here: bytes, asked: list[str]) -> None:
    held = {"main.yaml": b"include: [a/x.yaml]\nprices_file: os.environ/T", "a/x.yaml": set_here, "e.json": b"{}"}
    assert collect(held, T="e.json", OTHER="o.json")[0] == ["main.yaml", "a/x.yaml", *asked]


def test_a_table_behind_a_variable_that_is_not_set_is_none() -> None:
    for environ in ({}, {"T": " "}):
        assert collect({"main.yaml": b"prices_file: os.environ/T"}, **environ)[0] == ["main.yaml"]


@pytest.mark.parametrize("text", [b"include: [", b"include: 3", b"include: [3, '']", b"- include", b"\xff include: a"])
def test_what_is_wrong_with_a_document_is_told_by_whoever_reads_it(text: bytes) -> None:
    assert collect({"main.yaml": text})[1:] == ({"main.yaml": text}, {})


def test_there_is_a_bound_on_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    asked, documents, _ = collect({"main.yaml": b"include: [a, b, c, d, e]", "a": b"", "b": b"", "c": b""})
    assert asked == ["main.yaml", "a", "b"]
    assert set(documents) == {"main.yaml", "a", "b"}


def test_there_is_a_bound_on_what_they_hold_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 40)
    _, documents, absent = collect({"main.yaml": b"include: [a, b]", "a": b"x" * 20, "b": b"x" * 20})
    assert set(documents) == {"main.yaml", "a"}
    assert "together are larger" in absent["b"]


def test_a_document_that_is_too_large_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    assert collect({"main.yaml": b"include: [a.yaml]"})[0] == ["main.yaml"]
