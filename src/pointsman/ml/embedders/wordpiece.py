"""Texts as numbers of word pieces, the way BERT's tokenizers do it (Devlin et al., arXiv 1810.04805).

Read from a ``tokenizer.json``. Only this kind is read here, in plain Python, so that a text has the same pieces
wherever it is embedded; a word is cut from the left into the longest pieces that are known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from pointsman.ml.embedders.base import NoEmbedder

LONGEST_WORD = 100
_CJK = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip
_FIRST_CJK = _CJK[0][0]


class _Model(msgspec.Struct):
    vocab: dict[str, int]
    type: Literal["WordPiece"] = "WordPiece"
    continuing_subword_prefix: str = "##"


class _Normalizer(msgspec.Struct):
    type: str = ""
    lowercase: bool = True
    strip_accents: bool | None = None
    handle_chinese_chars: bool = True


class _File(msgspec.Struct):
    model: _Model
    normalizer: _Normalizer | None = None


_file = msgspec.json.Decoder(_File)


class WordPiece:
    """Cuts texts into pieces that it knows."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        *,
        prefix: str = "##",
        is_lower: bool = True,
        strips_accents: bool = True,
        splits_chinese: bool = True,
    ) -> None:
        self.vocabulary = vocabulary
        self._prefix = prefix
        self._is_lower = is_lower
        self._strips_accents = strips_accents
        self._splits_chinese = splits_chinese
        self._longest = max((len(piece) for piece in vocabulary), default=0)

    @classmethod
    def read(cls, text: bytes | memoryview) -> WordPiece:
        """Take what a ``tokenizer.json`` says.

        :raises NoEmbedder: it is none, or of another kind
        """
        try:
            file = _file.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NoEmbedder(
                f"tokenizer.json is not that of a word piece tokenizer: {error}", "use a model with such a tokenizer"
            ) from None
        how = file.normalizer or _Normalizer(lowercase=False, strip_accents=False, handle_chinese_chars=False)
        if how.type not in {"", "BertNormalizer"}:
            raise NoEmbedder(f"tokenizer.json has the normalizer {how.type[:40]!r}", "only BertNormalizer is read here")
        return cls(
            file.model.vocab,
            prefix=file.model.continuing_subword_prefix,
            is_lower=how.lowercase,
            strips_accents=how.lowercase if how.strip_accents is None else how.strip_accents,
            splits_chinese=how.handle_chinese_chars,
        )

    def pieces(self, text: str, most: int) -> list[int]:
        """The numbers of the first ``most`` pieces; words that are not known have none."""
        found: list[int] = []
        for word in self._words(text):
            found.extend(self._cut(word))
            if len(found) >= most:
                break
        return found[:most]

    def _words(self, text: str) -> Iterator[str]:
        if self._is_lower:
            text = text.lower()
        if text.isascii():
            text = "".join(map(_ASCII.__getitem__, text.encode()))
        else:
            if self._strips_accents:
                text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
            text = "".join(map(self._spaced, text))
        return iter(text.split())

    def _spaced(self, character: str) -> str:
        code = ord(character)
        if code < len(_ASCII):
            return _ASCII[code]
        if character.isspace():
            return " "
        category = unicodedata.category(character)
        if category in {"Cc", "Cf"} or code == 0xFFFD:
            return ""
        if category.startswith("P") or (self._splits_chinese and _is_chinese(code)):
            return f" {character} "
        return character

    def _cut(self, word: str) -> Sequence[int]:
        known = self.vocabulary.get(word)
        if known is not None:
            return (known,)
        if len(word) > LONGEST_WORD:
            return ()
        found = []
        start = 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self.vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return ()
            found.append(piece)
            start = end
        return found


def _is_chinese(code: int) -> bool:
    return code >= _FIRST_CJK and any(first <= code <= last for first, last in _CJK)


def _ascii(code: int) -> str:
    """An ASCII character as it stands between words: signs are words of their own, and control characters nothing."""
    character = chr(code)
    if character in " \t\n\r":
        return " "
    if code < 32 or code == 127:
        return ""
    return character if character.isalnum() else f" {character} "


_ASCII = tuple(map(_ascii, range(128)))
