"""Buckets: S3 by moto, and those of Google and Azure as far as conditional reads go."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit

import boto3
from moto.server import ThreadedMotoServer

ACCESS_KEY = "AKIAFAKEKEY"
SECRET_KEY = "fake-secret-canary-7c1d"


class S3:
    """A real S3 server, which counts what it answers with."""

    def __init__(self, bucket: str = "configs") -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.bucket = bucket
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket=bucket)
        self._is_up = True

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def names(self) -> list[str]:
        return [one["Key"] for one in self._client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    @property
    def environ(self) -> dict[str, str]:
        """What a gateway needs to read it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def stop(self) -> None:
        if self._is_up:
            self._client.close()
            self._server.stop()
        self._is_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class FakeBucket:
    """Objects by ``bucket/key``, as the XML API of Google and the Blob service of Azure give them.

    A read with the ETag that an object has is answered with 304. ``status`` is answered in the place of anything else.
    """

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = dict(objects)
        self.status = 0
        self.answers: list[int] = []
        self.heads: list[Mapping[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        data = self.objects.get(unquote(urlsplit(request.path).path).lstrip("/"))
        etag = f'"{hash(data) & 0xFFFFFFFF:x}"'
        status = 404 if data is None else 304 if request.headers["if-none-match"] == etag else 200
        status = self.status or status
        self.heads.append({name.lower(): value for name, value in request.headers.items()})
        self.answers.append(status)
        body = data if status == 200 and data is not None else b"" if status == 304 else b"<Error>secret-body</Error>"
        request.send_response(status)
        request.send_header("ETag", etag)
        request.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if status != 304:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
