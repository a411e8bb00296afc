from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pointsman.ml.localmodel import LocalModel, NoLocalModel

WORDS = ["A", " A", "B", " B", "x"]
loaded: list[tuple[str, dict[str, Any]]] = []


class Tokenizer:
    """What of the library's is used: one token a word."""

    chat_template: str | None = "a template"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @classmethod
    def from_pretrained(cls, path: str, **how: Any) -> Tokenizer:
        loaded.append((path, how))
        if path == "unknown":
            raise OSError("unknown is not a local folder and is not a model on the hub")
        return cls()

    def __call__(self, text: str, **_: Any) -> dict[str, Any]:
        self.seen.append(text)
        return {"input_ids": text}

    def apply_chat_template(self, said: Any, **_: Any) -> dict[str, Any]:
        self.seen.append(said)
        return {"input_ids": said}

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [WORDS.index(text)] if text in WORDS else [WORDS.index("x"), 0]


class Row(np.ndarray[Any, np.dtype[np.float64]]):
    """A row of logits, as far as it is a tensor."""

    def float(self) -> Row:
        return self

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(self)


class Model:
    """Says B twice as likely as A, in either spelling, and the rest not at all."""

    @classmethod
    def from_pretrained(cls, path: str, **how: Any) -> Model:
        loaded.append((path, how))
        return cls()

    def eval(self) -> None:
        self.is_evaluated = True

    def requires_grad_(self, wanted: bool) -> None:
        assert not wanted

    def __call__(self, **_: Any) -> Any:
        logits = np.log(np.array([1, 1, 2, 2, 1e-9])) + 7
        return SimpleNamespace(logits=logits.reshape(1, 1, -1).view(Row))


@pytest.fixture
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("transformers")
    module.AutoTokenizer = Tokenizer  # type: ignore[attr-defined]
    module.AutoModelForCausalLM = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", module)
    loaded.clear()


def test_a_word_is_as_likely_as_its_spellings_together() -> None:
    found = LocalModel(Tokenizer(), Model()).likelihoods("Choose.", "Why?", ["A", "B"])

    np.testing.assert_allclose(found, [[math.log(1 / 3), math.log(2 / 3)]], rtol=1e-5)


def test_a_model_for_chats_is_asked_in_a_chat_and_another_one_in_text() -> None:
    chats, texts = Tokenizer(), Tokenizer()
    texts.chat_template = None
    for tokenizer in (chats, texts):
        LocalModel(tokenizer, Model()).likelihoods("Choose.", "Why?", ["A"])

    assert chats.seen == [[{"role": "system", "content": "Choose."}, {"role": "user", "content": "Why?"}]]
    assert texts.seen == ["Choose.\n\nWhy?"]


def test_a_word_of_several_tokens_is_as_likely_as_its_first_one() -> None:
    found = LocalModel(Tokenizer(), Model()).likelihoods("Choose.", "Why?", ["xyz"])

    assert found[0, 0] < -10


@pytest.mark.usefixtures("_library")
def test_code_of_a_model_is_never_run_and_its_revision_is_kept() -> None:
    assert LocalModel.named("org/small@abc").likelihoods("i", "q", ["A"]).shape == (1, 1)
    assert loaded == [("org/small", {"revision": "abc", "trust_remote_code": False})] * 2


@pytest.mark.usefixtures("_library")
def test_a_model_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(NoLocalModel, match="cannot load unknown"):
        LocalModel.named("unknown")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NoLocalModel, match="pip install transformers"):
        LocalModel.named("small")
