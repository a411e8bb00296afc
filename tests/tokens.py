"""An identity provider: keys of each kind, tokens that they have signed, and the documents that tell of them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact

ISSUER = "https://idp.test"
MADE: dict[str, Key] = {}
"""Keys of RSA take long to make."""


def key_of(kind: str, kid: str) -> Key:
    """The same one each time."""
    if kid not in MADE:
        MADE[kid] = _new(kind, {"kid": kid})
    return MADE[kid]


def _new(kind: str, parameters: Any) -> Key:
    if kind in {"RS", "PS"}:
        return RSAKey.generate_key(2048, parameters)
    if kind == "HS":
        return OctKey.generate_key(256, parameters)
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    return (
        ECKey.generate_key(curves[kind], parameters) if kind in curves else OKPKey.generate_key("Ed25519", parameters)
    )


class Registry(JWSRegistry):
    """One that signs with everything."""

    max_header_length = 4096

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


class Issuer:
    """Signs with one key, and tells of several."""

    def __init__(self, algorithm: str = "RS256", kid: str | None = None) -> None:
        self.algorithm = algorithm
        kind = algorithm if algorithm.startswith(("ES", "Ed")) else algorithm[:2]
        self.key = key_of(kind, kid or f"key-{kind}")

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=False))

    def jwks(self, *others: dict[str, Any]) -> dict[str, Any]:
        return {"keys": [*others, self.public]}

    def sign(self, claims: Any, **head: Any) -> str:
        """A token; members of the head that are ``None`` are left out."""
        members = {"alg": self.algorithm, "kid": self.key.kid, "typ": "JWT", **head}
        shown = {name: value for name, value in members.items() if value is not None}
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return serialize_compact(shown, payload, self.key, registry=Registry(strict_check_header=False))


class IdentityProvider:
    """Serves documents by path on loopback. Use as a context manager."""

    def __init__(self, documents: dict[str, Any]) -> None:
        self.documents = documents
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                document = provider.documents.get(self.path)
                body = json.dumps(document).encode()
                self.send_response(404 if document is None else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
