from __future__ import annotations

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from system.process import Gateway, Reply, read_reply
from system.upstream.script import Answer
from system.upstream.server import FakeUpstream

JSON_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/audio/speech",
    "/v1/moderations",
    "/v1/rerank",
)
FORM_PATHS = (
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/variations",
)
HALF_OPEN_LIMIT = 10.0
MASTER = b"Authorization: Bearer sk-master-canary-41f0\r\n"
MODELS = b"GET /v1/models HTTP/1.1\r\n"
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"

PROBES: dict[str, bytes] = {
    "content-length with transfer-encoding": (
        CHAT + MASTER + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two different content-lengths": CHAT + MASTER + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "space before the colon": MODELS + b"Host : a\r\n" + MASTER + b"\r\n",
    "bare line feeds": b"GET /v1/models HTTP/1.1\nHost: a\n" + MASTER.replace(b"\r", b"") + b"\n",
    "a host that is none": MODELS + b"Host: a/x?\r\n" + MASTER + b"\r\n",
    "no host": MODELS + MASTER + b"\r\n",
}
HALF_OPEN: dict[str, bytes] = {
    "no bytes": b"",
    "half a request line": b"GET /v1/mod",
    "half the headers": MODELS + b"Host: a\r\nX-Slow: 1\r\n",
}


@pytest.mark.requirement("wire.probes")
@pytest.mark.parametrize("probe", PROBES)
def test_an_ambiguous_head_is_a_400_and_the_end_of_the_connection(gateway: Gateway, probe: str) -> None:
    with gateway.connect() as sock:
        sock.sendall(PROBES[probe])
        reply = read_reply(sock)
        assert reply.status == 400
        assert reply.header("connection") == "close"
        assert reply.error["type"] == "invalid_request_error"
        assert is_closed(sock)


@pytest.mark.requirement("wire.probes")
def test_half_open_connections_are_closed_in_time(gateway: Gateway) -> None:
    def wait_for_end(sent: bytes) -> bool:
        with gateway.connect(HALF_OPEN_LIMIT) as sock:
            sock.sendall(sent)
            return is_closed(sock)

    with ThreadPoolExecutor(len(HALF_OPEN)) as threads:
        assert list(threads.map(wait_for_end, HALF_OPEN.values())) == [True] * len(HALF_OPEN)


@pytest.mark.requirement("wire.probes")
@pytest.mark.parametrize("shape", ["one header", "many headers", "request line"])
def test_a_head_over_64_kib_is_a_431(gateway: Gateway, shape: str) -> None:
    start = MODELS + b"Host: a\r\n"
    filler = {
        "one header": start + b"X-Big: " + b"x" * 3_000_000,
        "many headers": start + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(3000)),
        "request line": b"GET /" + b"z" * 3_000_000,
    }[shape]
    with gateway.connect() as sock:
        # The gateway may stop reading long before all of it is sent.
        with contextlib.suppress(ConnectionError):
            sock.sendall(filler)
        reply = read_reply(sock)
    assert reply.status == 431
    assert reply.error["code"] == "request_header_fields_too_large"


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side ends the connection before the socket's time is over."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@pytest.mark.requirement("keys.before-body")
@pytest.mark.parametrize("path", JSON_PATHS + FORM_PATHS)
def test_a_stranger_is_refused_before_his_body_is_read(gateway: Gateway, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    reply = gateway.raw(head.encode())
    assert reply.status == 401
    assert reply.header("connection") == "close"


@pytest.mark.requirement("keys.before-body")
def test_a_stranger_is_not_told_to_continue(gateway: Gateway) -> None:
    reply = gateway.raw(CHAT + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
    assert reply.raw.startswith(b"HTTP/1.1 401")


@pytest.mark.requirement("keys.before-body")
def test_a_stranger_who_sends_all_the_same_can_read_why(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        sock.sendall(CHAT + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
        assert read_reply(sock).status == 401


@pytest.mark.requirement("wire.http1")
def test_a_caller_who_asks_first_is_told_to_continue(gateway: Gateway) -> None:
    body = json.dumps({"model": "house-chat", "messages": []}).encode()
    with gateway.connect() as sock:
        sock.sendall(CHAT + MASTER + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_reply(sock).status == 200


@pytest.mark.requirement("wire.http1")
def test_requests_share_a_connection_also_when_pipelined(gateway: Gateway) -> None:
    one = MODELS + b"Host: a\r\n" + MASTER + b"\r\n"
    with gateway.connect() as sock:
        sock.sendall(one)
        first = read_reply(sock)
        sock.sendall(one * 3 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        rest = b""
        while piece := sock.recv(1 << 16):
            rest += piece
    assert first.status == 200
    assert rest.count(b"HTTP/1.1 200 OK") == 4
    assert rest.count(first.body) == 4


@pytest.mark.requirement("wire.http1")
def test_a_head_request_is_answered_without_a_body(gateway: Gateway) -> None:
    with gateway.connect() as sock:
        sock.sendall(b"HEAD /v1/models HTTP/1.1\r\nHost: a\r\n" + MASTER + b"Connection: close\r\n\r\n")
        data = b""
        while piece := sock.recv(1 << 16):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: " in head
    assert body == b""


@pytest.mark.requirement("wire.http1")
def test_a_chunked_body_and_an_http_1_0_client_are_understood(gateway: Gateway) -> None:
    body = json.dumps({"model": "house-chat", "messages": [], "stream": True}).encode()
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    chunked = gateway.raw(CHAT + MASTER + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\nX-Trailer: 1\r\n\r\n")
    assert chunked.events[-1] == "[DONE]"
    old = gateway.raw(
        b"POST /v1/chat/completions HTTP/1.0\r\n" + MASTER + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    assert old.header("transfer-encoding") is None
    assert old.events[-1] == "[DONE]"


@pytest.mark.requirement("errors.bad-json")
@pytest.mark.parametrize("path", JSON_PATHS)
@pytest.mark.parametrize(
    ("body", "offset"),
    [
        (b'{"model": "a", "messages": [}', 28),
        (b"{'model': 1}", 1),
        (b'{"model":"a","messages":[],"prompt":"x","input":"x","query":"x","documents":[]} x', 80),
        (b'{"model": "a", "input": "x', 26),
        (b'{"model": "\xff"}', 11),
    ],
)
def test_broken_json_names_the_byte(gateway: Gateway, path: str, body: bytes, offset: int) -> None:
    reply = gateway.post(path, body)
    assert reply.status == 400
    assert f"byte {offset}" in reply.error["message"]


SHAPES: tuple[bytes, ...] = (
    b"",
    b" \r\n",
    b"[]",
    b"null",
    b"7",
    b'"text"',
    b"{}",
    b'{"model": 7}',
    b'{"model": null, "messages": 7, "prompt": 7, "input": 7, "query": 7, "documents": 7}',
    b'{"model": "house-chat"}',
    b'{"model": "house-chat", "messages": 7, "prompt": 7, "input": 7, "query": 7, "documents": 7}',
    b'{"model": "house-chat", "messages": {}, "prompt": {}, "input": {}, "query": [], "documents": {}}',
    b'{"model": {"a": 1}, "messages": [], "prompt": "x", "input": "x", "query": "x", "documents": []}',
    b'{"model":"house-chat","messages":[],"prompt":"x","input":"x","query":"x","documents":[],"stream":"x"}',
    b'{"model":"house-chat","messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
)


@pytest.mark.requirement("errors.shapes")
@pytest.mark.parametrize("path", JSON_PATHS)
@pytest.mark.parametrize("body", SHAPES, ids=range(len(SHAPES)))
def test_a_body_of_the_wrong_shape_is_a_400(gateway: Gateway, path: str, body: bytes) -> None:
    # A response needs no input, for instance when it continues a conversation.
    if path == "/v1/responses" and body == b'{"model": "house-chat"}':
        return
    reply = gateway.post(path, body)
    assert reply.status == 400, reply.body
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error.keys() == {"message", "type", "param", "code"}


@pytest.mark.requirement("errors.shapes")
@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", b'{"model": "house-chat", "messages": 7}', "messages"),
        ("/v1/chat/completions", b'{"model": "house-chat"}', "messages"),
        ("/v1/chat/completions", b'{"messages": []}', "model"),
        ("/v1/embeddings", b'{"model": "house-chat", "input": {}}', "input"),
        ("/v1/rerank", b'{"model": "house-chat", "query": "x"}', "documents"),
    ],
)
def test_the_field_at_fault_is_named(gateway: Gateway, path: str, body: bytes, param: str) -> None:
    assert gateway.post(path, body).error["param"] == param


@pytest.mark.requirement("errors.shapes")
@pytest.mark.parametrize("path", FORM_PATHS)
@pytest.mark.parametrize(
    "body",
    [b"", b"no form", b"--b\r\n\r\n", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx', b"--b--\r\n"],
)
def test_a_broken_form_is_a_400(gateway: Gateway, path: str, body: bytes) -> None:
    reply = gateway.post(path, body, {"content-type": "multipart/form-data; boundary=b"})
    # A form without fields is whole, and to images a request that names no model; what it lacks the upstream says.
    if "images" in path and body == b"--b--\r\n":
        return
    assert reply.status == 400, reply.body
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.requirement("errors.media-type")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("path", JSON_PATHS)
def test_what_is_not_json_is_a_415(gateway: Gateway, path: str, kind: str) -> None:
    reply = gateway.post(path, b"{}", {"content-type": kind})
    assert reply.status == 415
    assert reply.error["code"] == "unsupported_media_type"


@pytest.mark.requirement("errors.media-type")
@pytest.mark.parametrize("path", FORM_PATHS)
def test_what_is_not_a_form_is_a_415(gateway: Gateway, path: str) -> None:
    assert gateway.post(path, {}).status == 415


@pytest.mark.requirement("errors.too-large")
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/audio/transcriptions"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_over_the_limit_is_a_413(gateway: Gateway, path: str, framing: str) -> None:
    is_form = "audio" in path
    kind = "multipart/form-data; boundary=b" if is_form else "application/json"
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' if is_form else b'{"a": "'
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n".encode() + MASTER
    size = 9 * 1024 * 1024
    with gateway.connect() as sock, contextlib.suppress(BrokenPipeError):
        if framing == "length":
            sock.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
        else:
            sock.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            sock.sendall(b"%x\r\n%b\r\n" % (len(start), start) + b"%x\r\n%b" % (size, b"x" * size))
        reply = read_reply(sock)
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"


@pytest.mark.requirement("errors.routes")
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat", "/v1/chat/completions/", "/v3/rerank", "/v1/%2e%2e/models"])
def test_an_unknown_path_is_a_404_in_openais_shape(gateway: Gateway, path: str) -> None:
    reply = gateway.post(path, {})
    assert reply.status == 404
    assert reply.error["code"] == "unknown_url"
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.requirement("errors.routes")
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PATCH", "/health/readiness", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(
    gateway: Gateway, method: str, path: str, allowed: str
) -> None:
    reply = gateway.request(method, path)
    assert reply.status == 405
    assert reply.error["code"] == "method_not_allowed"
    assert reply.header("allow") == allowed


@pytest.mark.requirement("wire.http1")
def test_a_strangers_requests_do_not_disturb_those_of_others(gateway: Gateway, upstream: FakeUpstream) -> None:
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            for probe in PROBES.values():
                with contextlib.suppress(ConnectionError):
                    gateway.raw(probe)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        replies: list[Reply] = [
            gateway.post("/v1/chat/completions", {"model": f"fake/disturbed-{n}", "messages": []}) for n in range(50)
        ]
    finally:
        done.set()
        thread.join()
    assert [reply.json["model"] for reply in replies] == [f"fake/disturbed-{n}" for n in range(50)]


@pytest.mark.requirement("wire.http1")
@pytest.mark.parametrize("size", [60_000, 70_000, 100_000, 300_000, 1_000_000])
def test_the_request_after_a_large_one_on_the_same_connection_is_read(gateway: Gateway, size: int) -> None:
    body = json.dumps({"model": "house-chat", "messages": [{"role": "user", "content": "x" * size}]}).encode()
    one = CHAT + MASTER + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with gateway.connect(5) as sock:
        for _ in range(8):
            sock.sendall(one)
            assert read_reply(sock).status == 200


@pytest.mark.requirement("wire.http1")
def test_pipelined_requests_are_answered_in_order_however_long_each_takes(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    gate = upstream.gate()
    upstream.answers("pipelined", Answer(framing="raw", steps=(gate, *raw_steps(b'{"model":"x","choices":[]}'))))
    body = b'{"model":"fake/pipelined","messages":[]}'
    slow = CHAT + MASTER + b"Content-Length: %d\r\n\r\n" % len(body) + body
    quick = MODELS + b"Host: a\r\n" + MASTER + b"Connection: close\r\n\r\n"
    with gateway.connect() as sock:
        sock.sendall(slow + quick)
        assert gate.reached.wait(10)
        gate.open()
        data = b""
        while piece := sock.recv(1 << 16):
            data += piece
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.index(b'"choices":[]') < data.index(b'"object":"list"')


def raw_steps(body: bytes) -> tuple[bytes, ...]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return (head + body,)
