from __future__ import annotations

from pointsman.providers.dialects.gemini.logprobs import read_logprobs, write_logprobs


def test_logprobs_come_back_as_they_were() -> None:
    top = {"token": "b", "logprob": -2.0, "bytes": [98]}
    entries = [{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [top]}]
    assert read_logprobs(write_logprobs(entries)) == entries


def test_fewer_alternatives_than_tokens_are_none_for_the_rest() -> None:
    found = read_logprobs({"chosenCandidates": [{"token": "a", "logProbability": -1}]})
    assert found == [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]


def test_what_cannot_be_read_is_left_out() -> None:
    assert read_logprobs({"chosenCandidates": 7}) is None
    assert read_logprobs(None) is None
