from __future__ import annotations

from unit.routing.builders import chances, member

from pointsman.routing.strategies.usage import usage

NOW = 1000.0


def test_whoever_has_used_the_smallest_part_of_its_tokens_is_named() -> None:
    big, small = members = [member("big", tpm=1000), member("small", tpm=100)]
    big.tokens.add(NOW, 200)
    small.tokens.add(NOW, 50)
    assert usage(members, NOW, chances(0.99)) is big


def test_where_some_have_no_limit_the_fewest_tokens_count() -> None:
    limited, free = members = [member("limited", tpm=1000), member("free")]
    limited.tokens.add(NOW, 200)
    free.tokens.add(NOW, 50)
    assert usage(members, NOW, chances(0.0)) is free


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    a, b = members = [member("a", tpm=10), member("b", tpm=10)]
    a.tokens.add(NOW, 9)
    b.tokens.add(NOW + 50, 1)
    assert usage(members, NOW + 50, chances(0.0)) is b
    assert usage(members, NOW + 61, chances(0.99)) is a


def test_equals_share_the_traffic() -> None:
    a, b = members = [member("a"), member("b")]
    assert [usage(members, NOW, chances(at)) for at in (0.0, 0.99)] == [a, b]
