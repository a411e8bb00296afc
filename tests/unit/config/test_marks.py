from __future__ import annotations

from pointsman.config.marks import spell


def test_a_path_reads_like_the_operators_own_words() -> None:
    assert spell(("model_list", 2, "litellm_params", "model")) == "model_list[2].litellm_params.model"


def test_a_key_that_is_not_a_plain_word_is_quoted() -> None:
    assert spell(("router_settings", "model_group_alias", "gpt.4 o")) == (
        'router_settings.model_group_alias["gpt.4 o"]'
    )


def test_a_key_cannot_break_the_line_or_flood_it() -> None:
    assert spell(("a\nb",)) == '["a?b"]'
    assert len(spell(("x y" * 1000,))) < 100


def test_the_root_is_empty() -> None:
    assert spell(()) == ""
