from __future__ import annotations

from typing import Any

import pytest

from pointsman.config.marked import MAX_DEPTH, parse
from pointsman.config.marks import Place


def _said(text: str) -> str:
    return "\n".join(str(problem) for problem in parse(text, "c.yaml").problems)


def test_values_are_plain_and_every_key_and_value_has_its_place() -> None:
    marked = parse("a: 1\nb:\n  - x\n  - c: true\n", "c.yaml")
    assert marked.tree == {"a": 1, "b": ["x", {"c": True}]}
    assert marked.spots[("a",)].value == Place("c.yaml", 1, 4)
    assert marked.spots[("b", 1, "c")].key == Place("c.yaml", 4, 5)
    assert marked.spots[("b", 1, "c")].value == Place("c.yaml", 4, 8)
    assert marked.problems == ()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_text_has_no_tree_and_no_problem(text: str) -> None:
    marked = parse(text, "c.yaml")
    assert marked.tree is None
    assert marked.problems == ()


def test_a_date_stays_the_text_that_it_was() -> None:
    assert parse("api_version: 2024-06-01\n", "c.yaml").tree == {"api_version": "2024-06-01"}


def test_scalars_follow_yaml_1_1() -> None:
    tree = parse("a: yes\nb: 0x10\nc: 1.5\nd: ~\ne: 1e-6\nf: 'no'\n", "c.yaml").tree
    assert tree == {"a": True, "b": 16, "c": 1.5, "d": None, "e": "1e-6", "f": "no"}


def test_keys_are_text_as_written() -> None:
    assert parse("4: a\non: b\n", "c.yaml").tree == {"4": "a", "on": "b"}


def test_aliases_and_merges_are_expanded_and_own_keys_win() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 3}\nz:\n  b: 9\n  <<: [*x, *y]\nw: *x\n"
    tree = parse(text, "c.yaml").tree
    assert tree["z"] == {"a": 1, "b": 9, "c": 3}
    assert tree["w"] == {"a": 1, "b": 2}


def test_of_several_merged_mappings_the_first_wins() -> None:
    text = "x: &x {b: 2}\ny: &y {b: 3}\nz: {<<: [*x, *y]}\n"
    assert parse(text, "c.yaml").tree["z"] == {"b": 2}


def test_a_duplicate_key_is_named_with_both_lines_and_the_last_counts() -> None:
    marked = parse("a: 1\nb: 2\na: 3\n", "c.yaml")
    assert marked.tree == {"a": 3, "b": 2}
    assert [str(problem) for problem in marked.problems] == [
        (
            "c.yaml:3:1: warning: a: stands twice in its mapping; the last one counts"
            " (remove one of the two; the first is in line 1)"
        )
    ]


def test_an_expansion_bomb_is_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "once its aliases are expanded" in _said("\n".join(levels))


def test_a_bomb_of_merges_is_refused() -> None:
    levels = ["a0: &a0 {k: v}"]
    levels += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 9)]
    assert "once its aliases are expanded" in _said("\n".join(levels))


def test_depth_is_bounded() -> None:
    assert f"more than {MAX_DEPTH} levels" in _said("[" * 500 + "]" * 500)
    chain = "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))
    assert f"more than {MAX_DEPTH} levels" in _said("a0: &a0 [x]\n" + chain)


def test_an_alias_to_what_it_stands_in_is_refused() -> None:
    assert "contains itself" in _said("a: &a\n  b: *a\n")
    assert "merges (<<)" in _said("a: &a\n  <<: *a\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2\nb: 3\n", "is not YAML"),
        ("a: b: c\n", "c.yaml:1:5"),
        ("a: 1\n---\nb: 2\n", "more than one YAML document"),
        ("a: \x00\n", "characters that YAML does not allow"),
        ("a: !!python/object:os.system {}\n", "tag"),
        ("a: !mine x\n", "tag"),
        ("a: !!binary aGk=\n", "tag"),
        ("a: .nan\n", "not a finite number"),
        ("a: !!int nope\n", "not a valid int"),
        ("? [a, b]\n: c\n", "key that is not plain text"),
    ],
)
def test_what_cannot_be_read_says_so(text: str, words: str) -> None:
    assert words in _said(text)
    assert "error" in _said(text)


@pytest.mark.parametrize(
    "text",
    [
        "key: *SeCrEtValue\n",
        "key: !SeCrEtValue x\n",
        "key: !SeCrEtValue!x y\n",
        "key: &SeCrEtValue a\nb: &SeCrEtValue c\n",
        "key: 'SeCrEtValue\n",
        "key: SeCrEtValue: x\n",
        "key: @SeCrEtValue\n",
        "key: !!int SeCrEtValue\n",
    ],
)
def test_no_message_repeats_a_value_which_may_be_a_credential(text: str) -> None:
    assert "SeCrEt" not in _said(text)


@pytest.mark.parametrize("text", ["! a", "!!str a", "'a'", '"a"'])
def test_a_text_is_a_text_however_it_says_so(text: str) -> None:
    marked = parse(f"key: {text}", "f")
    assert (marked.tree, marked.problems) == ({"key": "a"}, ())


@pytest.mark.parametrize(
    ("text", "tree"), [("! [1, '1']", [1, "1"]), ("! {1: true, '2': no}", {"1": True, "2": False})]
)
def test_a_collection_may_have_the_tag_that_means_none(text: str, tree: Any) -> None:
    assert parse(text, "f").tree == tree


def test_the_same_word_is_text_in_quotes_and_a_value_without() -> None:
    assert parse("[true, 'true', true, \"1\", 1]", "f").tree == [True, "true", True, "1", 1]
