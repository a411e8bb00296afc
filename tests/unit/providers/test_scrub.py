from __future__ import annotations

import pytest

from pointsman.providers.scrub import MAX_TEXT, hide_secrets, scrub

ADDRESS = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abc*****************wxyz.",
        "Incorrect API key provided: sk-abcdef1234567890.",
        "bad header Authorization: Bearer abcdef.ghi-jkl=",
        "key gsk_1234567890abcdef refused",
        "API key AIzaSyA1234567890abcdefghijklmnop not valid",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefgh expired",
        'got api_key="0123456789abcdef"',
    ],
)
def test_known_shapes_of_keys_are_hidden(text: str) -> None:
    shown = scrub(text, secrets=(), address=ADDRESS)
    assert "[key]" in shown
    for fragment in ("abc**", "sk-abc", "abcdef.ghi", "gsk_1", "AIza", "eyJ", "0123456789"):
        assert fragment not in shown


def test_the_credential_that_was_sent_is_hidden_whatever_it_looks_like() -> None:
    assert scrub("no access for hunter2!x", secrets=("hunter2!x",), address=ADDRESS) == "no access for [key]"


def test_a_credential_is_hidden_even_where_the_text_is_cut() -> None:
    text = "a" * (MAX_TEXT - 5) + "hunter2!secret" + "b" * MAX_TEXT
    shown = scrub(text, secrets=("hunter2!secret",), address=ADDRESS)
    assert "hunter2" not in shown
    assert len(shown) == MAX_TEXT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://platform.openai.com/account/api-keys.", "see [address]"),
        ("POST https://api.openai.com/v1/chat/completions failed", "POST [address] failed"),
        ("no route to api.openai.com", "no route to [address]"),
        ("connect to api.openai.com:443 failed", "connect to [address] failed"),
        ("dial tcp 10.1.2.3:8000: refused", "dial tcp [address]: refused"),
        ("dial tcp 10.1.2.3: refused", "dial tcp [address]: refused"),
        ("connect [fd00::12]:8000", "connect [address]"),
        ("at fd00:1:2:3:4:5:6:7 now", "at [address] now"),
        ("http://localhost:11434/api", "[address]"),
        ("host vllm-0.vllm.svc.cluster.local:8000 gone", "host [address] gone"),
        ("host db.prod.internal gone", "host [address] gone"),
        ("(vllm.internal)", "([address])"),
        ("http://user:pw@example.org/x", "[address]"),
    ],
)
def test_addresses_of_the_upstream_are_hidden(text: str, shown: str) -> None:
    assert scrub(text, secrets=(), address=ADDRESS) == shown


@pytest.mark.parametrize(
    "text",
    [
        "could not download https://images.example.org/cat.png",
        "This model's maximum context length is 8192 tokens (9000 in the messages).",
        "temperature must be in 0.0 .. 2.0, gpt-4.1 was asked at 12:34:56",
        "use the key parameter; a basic value will do",
    ],
)
def test_what_helps_the_caller_stays(text: str) -> None:
    assert scrub(text, secrets=("sk-secret",), address=ADDRESS) == text


def test_the_operators_text_keeps_addresses_but_no_keys() -> None:
    text = "10.0.0.1 refused sk-secret-value\x00\x1b[31m"
    assert hide_secrets(text, secrets=()) == "10.0.0.1 refused [key] [31m"


@pytest.mark.parametrize("address", ["", "10.0.0.1:8000", "http://[::1", "http://[::1]:80", "demo:"])
def test_any_form_of_address_is_accepted(address: str) -> None:
    assert scrub("plain", secrets=("",), address=address) == "plain"
