from __future__ import annotations

import pytest

from pointsman.wire.words import Index, words

KNOWN = {
    "weather": words("Tells the weather of any city, today and tomorrow"),
    "travel-desk": words("Books flights and hotels"),
    "invoices": words("Reads invoices and pays them"),
}


@pytest.mark.parametrize(
    ("query", "name"),
    [("will it be raining, what is the weather", "weather"), ("book a hotel", "travel-desk"), ("invoice", "invoices")],
)
def test_what_fits_best_comes_first(query: str, name: str) -> None:
    assert Index(KNOWN.items()).search(query, 3)[0] == name


def test_what_fits_nothing_finds_nothing() -> None:
    assert Index(KNOWN.items()).search("quantum flux", 3) == []
    assert Index(KNOWN.items()).search("", 3) == []
    assert Index(()).search("weather", 3) == []


def test_a_word_of_the_name_counts_more_and_equals_keep_their_order() -> None:
    index = Index([("a", ["pay"]), ("b", ["pay"]), ("pay", [])])
    assert index.search("paying", 3) == ["pay", "a", "b"]
    assert index.search("pay", 1) == ["pay"]
    assert index.search("pay", -1) == []


def test_words_are_compared_without_their_endings() -> None:
    assert words("Files readFile READING http2Server") == ["fil", "read", "fil", "read", "http", "2", "server"]
    for one, other in (("file", "files"), ("issue", "issues"), ("directory", "directories"), ("class", "classes")):
        assert words(one) == words(other)
