from __future__ import annotations

from decimal import Decimal

from pointsman.config.digest import digested, fingerprint


def test_texts_under_secret_names_are_digested_at_any_depth() -> None:
    tree = {"a": [{"api_key": "sk-one", "model": "m"}], "headers": {"Authorization": {"x": "sk-two"}}}
    text = str(digested(tree))
    assert "sk-one" not in text
    assert "sk-two" not in text
    assert "'m'" in text


def test_values_from_the_environment_are_digested_whatever_they_are_called() -> None:
    tree = {"a": {"plain": "hidden", "other": "seen"}}
    assert "hidden" not in str(digested(tree, (), {("a", "plain")}))
    assert "seen" in str(digested(tree, (), {("a", "plain")}))


def test_paths_count_from_where_the_value_stands() -> None:
    assert "hidden" not in str(digested({"x": "hidden"}, ("model_list", 3), {("model_list", 3, "x")}))


def test_the_order_of_keys_does_not_matter_and_the_content_does() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint(Decimal(1))) == 64


def test_another_secret_is_another_fingerprint() -> None:
    assert fingerprint(digested({"api_key": "a"})) != fingerprint(digested({"api_key": "b"}))
