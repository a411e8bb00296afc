from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from unit.ml.embedders.files import PIECES, tokenizer

from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.wordpiece import WordPiece

OURS = WordPiece.read(json.dumps(tokenizer()).encode())
THEIRS = Tokenizer.from_str(json.dumps(tokenizer()))
UNKNOWN = PIECES.index("[UNK]")


def named(text: str, most: int = 512) -> list[str]:
    return [PIECES[piece] for piece in OURS.pieces(text, most)]


def test_a_word_is_cut_into_the_longest_known_pieces() -> None:
    assert named("Railways, rails?") == ["rail", "##way", "##s", ",", "rail", "##s", "?"]
    assert named("points man") == ["points", "man"]


def test_words_that_are_not_known_have_no_pieces() -> None:
    assert named("railx rail") == ["rail"]
    assert named("") == []
    assert named("x" * 5000) == []


def test_only_the_first_pieces_are_given() -> None:
    assert named("railways " * 1000, most=4) == ["rail", "##way", "##s", "rail"]


def test_signs_and_chinese_characters_stand_alone() -> None:
    assert named("a,a国a?") == ["a", ",", "a", "国", "a", "?"]


def test_accents_are_kept_where_the_file_says_so() -> None:
    assert named("É") == ["e"]
    kept = WordPiece.read(json.dumps(tokenizer(strip_accents=False)).encode())
    assert kept.pieces("É eé", 9) == [PIECES.index("é"), PIECES.index("e"), PIECES.index("##é")]


@given(
    st.text(
        st.sampled_from("railwyspointmRAILWAYSé国ÀÉ,? \t\n\r-_$\x00\x7f\u200b\u0301\u3000\ufffd.\U00020000İß"),
        max_size=40,
    )
)
def test_texts_are_cut_as_the_library_cuts_them(text: str) -> None:
    theirs = [piece for piece in THEIRS.encode(text, add_special_tokens=False).ids if piece != UNKNOWN]
    assert OURS.pieces(text, 512) == theirs


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"model":{"type":"BPE","vocab":{},"merges":[]}}',
        b'{"model":{"vocab":{"a":1.5}}}',
        json.dumps(tokenizer() | {"normalizer": {"type": "NFKC"}}).encode(),
    ],
)
def test_other_files_are_refused(text: bytes) -> None:
    with pytest.raises(NoEmbedder, match=r"tokenizer\.json"):
        WordPiece.read(text)
