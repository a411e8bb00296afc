from __future__ import annotations

import pytest
from unit.upstream.credentials.scripted import TokenServer

from pointsman.errors import UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.credentials.calls import MAX_ANSWER_BYTES, Answer, Calls


async def test_a_form_is_posted_and_its_answer_read(calls: Calls, server: TokenServer) -> None:
    server.answer({"a": 1})
    answer = await calls.post(f"{server.url}/t?x=1", {"grant": "a b&c"}, b"x-more: 1\r\n")
    assert answer.fields() == {"a": 1}
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.form) == ("POST", "/t?x=1", {"grant": "a b&c"})
    assert asked.headers["x-more"] == "1"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_service_of_the_machine_is_asked_with_its_headers(calls: Calls, server: TokenServer) -> None:
    server.answer("role-name\n")
    answer = await calls.get(server.url, {"Metadata": "true"}, method=b"PUT")
    assert answer.text() == "role-name"
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.headers["metadata"]) == ("PUT", "/", "true")


async def test_nobody_there_is_a_failure_before_which_nothing_was_sent(calls: Calls) -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        await calls.get("http://127.0.0.1:1/x", {})
    assert "127.0.0.1" not in caught.value.message


async def test_an_answer_is_not_read_without_end(calls: Calls, server: TokenServer) -> None:
    server.answer("x" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(UpstreamUnreachable):
        await calls.post(server.url, {})


@pytest.mark.parametrize(
    ("url", "headers"),
    [("ftp://x", {}), ("http://x/a b", {}), ("http://x/é", {}), ("http://x", {"a": "b\r\nc: d"})],
)
async def test_what_cannot_be_called_is_the_operators_mistake(calls: Calls, url: str, headers: dict[str, str]) -> None:
    with pytest.raises(UpstreamRejected):
        await calls.get(url, headers)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(400, True), (401, True), (403, True), (404, True), (408, False), (429, False), (500, False)],
)
def test_a_refusal_is_final_and_a_bad_moment_is_not(status: int, is_final: bool) -> None:
    error = Answer("sts", status, b"").failure("AccessDenied")
    assert isinstance(error, UpstreamRejected) is is_final
    assert error.operator_detail == f"sts answered with status {status} (AccessDenied)"


def test_of_an_error_only_its_label_is_told() -> None:
    answer = Answer("sts", 400, b'{"error": "invalid_client", "error_description": "secret abc is wrong"}')
    with pytest.raises(UpstreamRejected) as caught:
        answer.fields()
    assert caught.value.operator_detail == "sts answered with status 400 (invalid_client)"
    assert Answer("sts", 400, b"").failure("a secret with spaces").operator_detail == "sts answered with status 400"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{", b"\xff", b"null"])
def test_what_is_no_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(UpstreamUnreachable):
        Answer("sts", 200, body).fields()


@pytest.mark.parametrize(("status", "body"), [(404, b"role"), (200, b""), (200, b"\x00\x01")])
def test_what_is_no_line_is_no_name(status: int, body: bytes) -> None:
    with pytest.raises((UpstreamRejected, UpstreamUnreachable)):
        Answer("imds", status, body).text()


async def test_an_object_is_read_from_an_address_with_its_query(calls: Calls, server: TokenServer) -> None:
    server.answer({"keys": []})
    assert await calls.read(f"{server.url}/keys?p=1") == {"keys": []}
    assert (server.asked[0].method, server.asked[0].target) == ("GET", "/keys?p=1")
    server.answer({"keys": []}, status=302)
    with pytest.raises(UpstreamUnreachable):
        await calls.read(server.url)
