from __future__ import annotations

import os
from pathlib import Path

import pytest

from pointsman.config import document as document_module
from pointsman.config.document import load_document, resolve
from pointsman.config.marks import Place
from pointsman.config.sources.base import MAX_FILES


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _said(path: Path) -> str:
    return "\n".join(str(problem) for problem in load_document(path, {})[1])


def test_included_lists_are_joined_and_other_keys_overwritten(tmp_path: Path) -> None:
    _write(tmp_path, "more.yaml", "model_list: [{model_name: b}]\nrouter_settings: {timeout: 2}\n")
    text = "include: [more.yaml]\nmodel_list: [{model_name: a}]\nrouter_settings: {timeout: 1, stream_timeout: 1}\n"
    document, problems = load_document(_write(tmp_path, "main.yaml", text), {})
    assert document.tree == {
        "model_list": [{"model_name": "a"}, {"model_name": "b"}],
        "router_settings": {"timeout": 2},
    }
    assert [problem.what for problem in problems] == ["the included file overwrites router_settings of this file"]


def test_values_of_an_included_file_keep_their_own_place(tmp_path: Path) -> None:
    more = _write(tmp_path, "more.yaml", "\nmodel_list:\n  - model_name: b\n")
    main = _write(tmp_path, "main.yaml", "include: more.yaml\nmodel_list:\n  - model_name: a\n")
    document, _ = load_document(main, {})
    assert document.spots[("model_list", 0, "model_name")].value == Place(str(main), 3, 17)
    assert document.spots[("model_list", 1, "model_name")].value == Place(str(more), 3, 17)
    assert document.spots[("model_list",)].key.file == str(main)
    assert document.sources == (str(main), str(more))


def test_includes_nest_relative_to_the_file_that_declares_them(tmp_path: Path) -> None:
    _write(tmp_path, "a/b/leaf.yaml", "model_list: [{model_name: leaf}]\n")
    _write(tmp_path, "a/middle.yaml", "include: [b/leaf.yaml]\nmodel_list: [{model_name: middle}]\n")
    main = _write(tmp_path, "main.yaml", "include: [a/middle.yaml]\n")
    document, problems = load_document(main, {})
    assert [entry["model_name"] for entry in document.tree["model_list"]] == ["middle", "leaf"]
    assert problems == ()


def test_an_include_cycle_is_refused_where_it_is_declared(tmp_path: Path) -> None:
    _write(tmp_path, "b.yaml", "include:\n  - a.yaml\n")
    a = _write(tmp_path, "a.yaml", "include: [b.yaml]\n")
    assert f"{tmp_path / 'b.yaml'}:2:5: error: includes a file that includes this one" in _said(a)


def test_files_that_include_each_other_many_times_over_are_bounded(tmp_path: Path) -> None:
    for level in range(20):
        _write(tmp_path, f"{level}.yaml", f"include: [{level + 1}.yaml, {level + 1}.yaml]\n")
    _write(tmp_path, "20.yaml", "model_list: []\n")
    assert f"more than {MAX_FILES} files" in _said(tmp_path / "0.yaml")


@pytest.mark.parametrize("include", ["3", "[3]", "{a: b}", "['']"])
def test_include_takes_file_names_only(tmp_path: Path, include: str) -> None:
    assert "must be a list of file names" in _said(_write(tmp_path, "c.yaml", f"include: {include}\n"))


def test_a_file_that_is_not_there_is_a_problem_and_not_a_traceback(tmp_path: Path) -> None:
    assert "cannot read" in _said(tmp_path / "absent.yaml")
    assert ":1:11: error: include: cannot read" in _said(_write(tmp_path, "c.yaml", "include: [absent.yaml]\n"))


def test_what_is_said_of_an_address_holds_no_credential(tmp_path: Path) -> None:
    said = _said(_write(tmp_path, "c.yaml", "include: ['https://u:SECRET-1@h/x.yaml?sig=SECRET-2']\n"))
    assert "cannot read https://h/x.yaml: " in said
    assert "SECRET" not in said


def test_a_folder_is_not_a_config(tmp_path: Path) -> None:
    assert "cannot read" in _said(tmp_path)


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    assert "c.yaml:2:1: error: is not UTF-8 text" in _said(path)


def test_a_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_document(path, {})[0].tree == {"a": 1}


def test_a_file_beyond_the_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_module, "MAX_FILE_BYTES", 10)
    assert "is larger than" in _said(_write(tmp_path, "c.yaml", "a: 12345678910\n"))


def test_a_document_that_is_a_list_is_refused(tmp_path: Path) -> None:
    assert "must be a mapping at its top, not a list" in _said(_write(tmp_path, "c.yaml", "- a\n"))


def test_a_reference_replaces_a_whole_text_at_any_depth() -> None:
    tree = {"a": [{"b": "os.environ/NAME"}], "c": "see os.environ/NAME"}
    document = resolve(tree, {"NAME": "value"}, file="c.yaml")
    assert document.tree == {"a": [{"b": "value"}], "c": "see os.environ/NAME"}
    assert document.from_environment == {("a", 0, "b")}


def test_a_variable_that_is_not_set_or_empty_is_missing() -> None:
    document = resolve({"a": "os.environ/ONE", "b": "os.environ/TWO"}, {"TWO": " "}, file="c.yaml")
    assert document.tree == {"a": None, "b": None}
    assert document.missing == {("a",): "ONE", ("b",): "TWO"}


def test_declared_variables_go_first_and_never_reach_the_process() -> None:
    tree = {
        "environment_variables": {"POINTSMAN_TEST_A": "declared", "B": 3, "C": "os.environ/D"},
        "x": ["os.environ/POINTSMAN_TEST_A", "os.environ/B", "os.environ/C"],
    }
    environ = {"POINTSMAN_TEST_A": "outer", "D": "from outside"}
    document = resolve(tree, environ, file="c.yaml")
    assert document.tree == {"x": ["declared", "3", "from outside"]}
    assert environ["POINTSMAN_TEST_A"] == "outer"
    assert "POINTSMAN_TEST_A" not in os.environ


def test_declared_variables_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    assert "must be text, not a list" in _said(_write(tmp_path, "c.yaml", "environment_variables: {A: [1]}\n"))
    assert "must be a mapping" in _said(_write(tmp_path, "d.yaml", "environment_variables: [A]\n"))


def test_a_declared_variable_that_refers_to_nothing_is_named(tmp_path: Path) -> None:
    said = _said(_write(tmp_path, "c.yaml", "environment_variables:\n  A: os.environ/NOWHERE\n  B: ~\n"))
    assert "c.yaml:2:6: notice: environment_variables.A: the environment variable NOWHERE is not set" in said
