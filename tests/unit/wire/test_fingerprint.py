from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.wire.fingerprint import MAX_COMPARED_BYTES, OWN_MEMBERS, PATIENCE_MEMBERS, fingerprint

ASKED = b'{"model":"m","messages":[{"role":"user","content":"caf\xc3\xa9"}],"temperature":0.5}'
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_it_is_a_sha_256_in_hex() -> None:
    assert fingerprint(b"{}", "a") == hashlib.sha256(b'["a"]{}').hexdigest()


@pytest.mark.parametrize(
    "spelling",
    [
        b' {"temperature": 0.5, "messages": [{"content": "caf\\u00e9", "role": "user"}],\n"model": "m"}',
        b'{"model":"x","model":"m","messages":[{"role":"user","content":"caf\xc3\xa9"}],"temperature":5e-1}',
        *(ASKED[:-1] + b',"%b":{"any":1}}' % name.encode() for name in sorted(OWN_MEMBERS)),
    ],
)
def test_spellings_of_one_question_are_one(spelling: bytes) -> None:
    assert fingerprint(spelling) == fingerprint(ASKED)


@pytest.mark.parametrize(
    "other",
    [
        ASKED.replace(b"0.5", b"0.6"),
        ASKED.replace(b"0.5", b'"0.5"'),
        ASKED.replace(b'"role":"user",', b""),
        ASKED[:-1] + b',"stream":true}',
        ASKED[:-1] + b',"models":["m"]}',
        ASKED[:-1] + b',"tools":[{"user":"a member of the same name deeper down"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"cafe"}],"temperature":0.5}',
    ],
)
def test_another_question_is_another(other: bytes) -> None:
    assert fingerprint(other) != fingerprint(ASKED)


def test_what_stands_deeper_down_is_asked_whatever_its_name() -> None:
    assert fingerprint(b'{"input":{"user":"a"}}') != fingerprint(b'{"input":{"user":"b"}}')


def test_the_order_of_a_list_is_part_of_the_question() -> None:
    assert fingerprint(b'{"input":["a","b"]}') != fingerprint(b'{"input":["b","a"]}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("tenant-a",), ("tenant-b",)),
        (("a", "b"), ("ab", "")),
        (("a", "b"), ("a",)),
        (("a", "", "b"), ("a", "b", "")),
        (('a","b',), ("a", "b")),
        (("\ud800",), ("\ud801",)),
    ],
)
def test_each_word_of_the_scope_counts(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert fingerprint(ASKED, *one) != fingerprint(ASKED, *other)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"null", b"\xff", b'{"a":1e400}', b"[" * 100_000, b'{"a":"\\ud800"}', b"{" + b'"a":{' * 9999],
)
def test_what_cannot_be_read_is_compared_as_it_is_spelled(body: bytes) -> None:
    assert fingerprint(body) == fingerprint(body)
    assert fingerprint(body) != fingerprint(body + b" ")


def test_a_long_request_is_compared_as_it_is_spelled() -> None:
    body = b'{"input":"%b","user":"a"}' % (b"x" * MAX_COMPARED_BYTES)
    assert fingerprint(body) != fingerprint(body.replace(b'"a"', b'"b"'))


@given(st.dictionaries(st.text(), JSON, max_size=5), st.dictionaries(st.text(), JSON, max_size=5))
def test_two_requests_have_one_fingerprint_only_if_they_say_the_same(
    one: dict[str, object], other: dict[str, object]
) -> None:
    def asked(members: dict[str, object]) -> str:
        return json.dumps({k: v for k, v in members.items() if k not in OWN_MEMBERS}, sort_keys=True)

    same = fingerprint(msgspec.json.encode(one)) == fingerprint(msgspec.json.encode(other))
    assert same is (asked(one) == asked(other))
    shuffled = dict(reversed(one.items()))
    assert fingerprint(msgspec.json.encode(shuffled)) == fingerprint(json.dumps(one).encode())


def test_what_makes_no_difference_can_be_chosen() -> None:
    one, other = b'{"a":1,"metadata":{"x":1}}', b'{"a":1,"metadata":{"x":2},"timeout":3}'
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one, without=PATIENCE_MEMBERS) != fingerprint(other, without=PATIENCE_MEMBERS)
    assert fingerprint(other, without=PATIENCE_MEMBERS) == fingerprint(
        other.replace(b"3", b"9"), without=PATIENCE_MEMBERS
    )
