"""A language model of the library transformers, in this process, asked for the likelihoods of its next token.

Whoever names one has the library installed. It finds the model by its name, on disk or on a hub; code that comes with a
model is never run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pointsman.ml.base import Floats

EXTRA = "pip install transformers torch"


class NoLocalModel(Exception):
    """A local model that is not there; ``hint`` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"{what}; {hint}")
        self.what = what
        self.hint = hint


class LocalModel:
    """A causal language model and its tokenizer."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        """Take the library's objects."""
        self._tokenizer = tokenizer
        self._model = model

    @classmethod
    def named(cls, name: str) -> LocalModel:
        """Have the library load a model; ``name`` may end in ``@`` and a revision of it.

        :raises NoLocalModel: it cannot, or is not installed
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]  # noqa: PLC0415
        except ImportError as error:
            raise NoLocalModel("a local model needs transformers", EXTRA) from error
        path, _, revision = name.partition("@")
        how = {"revision": revision or None, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, **how)
            model = AutoModelForCausalLM.from_pretrained(path, **how)
        except (OSError, ValueError) as error:
            raise NoLocalModel(f"transformers cannot load {path}: {error}", "check its name") from error
        model.eval()
        model.requires_grad_(False)
        return cls(tokenizer, model)

    def likelihoods(self, instruction: str, asked: str, words: Sequence[str]) -> Floats:
        """(1, n) log-likelihood that what follows begins with each of the ``words``, with a blank before it or not."""
        tokenizer = self._tokenizer
        if tokenizer.chat_template is None:
            inputs = tokenizer(f"{instruction}\n\n{asked}", return_tensors="pt")
        else:
            said = [{"role": "system", "content": instruction}, {"role": "user", "content": asked}]
            inputs = tokenizer.apply_chat_template(
                said, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        logits = np.asarray(self._model(**inputs).logits[0, -1].float().numpy(), np.float64)
        logits -= _log_sum(logits)
        found = [self._of(word, logits) for word in words]
        return np.array([found], np.float32)

    def _of(self, word: str, likely: np.ndarray[Any, np.dtype[np.float64]]) -> float:
        firsts = {self._tokenizer.encode(text, add_special_tokens=False)[0] for text in (word, f" {word}")}
        return _log_sum(likely[sorted(firsts)])


def _log_sum(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    highest = float(values.max())
    return highest + math.log(float(np.exp(values - highest).sum()))
