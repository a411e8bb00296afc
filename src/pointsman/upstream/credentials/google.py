"""Google Cloud: service accounts, what ``gcloud auth application-default login`` leaves, and the metadata server.

Sources: developers.google.com/identity/protocols/oauth2/service-account, cloud.google.com/docs/authentication/
application-default-credentials, cloud.google.com/compute/docs/access/authenticate-workloads, RFC 7523.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import msgspec

from pointsman.upstream.credentials.base import Lease, refused
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.signing import sign_rs256
from pointsman.upstream.credentials.tokens import read_file, token_lease
from pointsman.wire.identity import GoogleIdentity

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  an address
MACHINE_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
LIFE = 3600
"""Seconds that a token is asked for; Google gives no more."""
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Google:
    """Gets tokens for an identity."""

    def __init__(self, identity: GoogleIdentity, calls: Calls, clock: Callable[[], float]) -> None:
        self._identity = identity
        self._calls = calls
        self._clock = clock

    async def fetch(self) -> Lease[bytes]:
        """Header lines with a fresh token.

        :raises UpstreamError: there is none
        """
        identity = self._identity
        if identity.credentials is not None:
            return await self._of(identity.credentials.reveal(), "vertex_credentials")
        if identity.file is not None:
            return await self._of(read_file(identity.file), identity.file)
        answer = await self._calls.get(f"http://{identity.metadata_host}{MACHINE_PATH}", {"Metadata-Flavor": "Google"})
        return token_lease(answer.fields(), answer.asked, self._clock())

    async def _of(self, text: str, where: str) -> Lease[bytes]:
        try:
            found = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise refused(f"{where} does not hold JSON") from error
        kind = found.get("type")
        if kind == "service_account":
            form = {"grant_type": _GRANT, "assertion": await self._assertion(found, where)}
        elif kind == "authorized_user":
            names = ("client_id", "client_secret", "refresh_token")
            form = {"grant_type": "refresh_token", **{name: _text(found, name, where) for name in names}}
        else:
            raise refused(f"{where} is of a type other than service_account and authorized_user")
        answer = await self._calls.post(_token_url(found), form)
        # Calls that a person pays for are counted to the project that was chosen with the login.
        project = found.get("quota_project_id")
        more = [(b"x-goog-user-project", project.encode())] if isinstance(project, str) else []
        return token_lease(answer.fields(), answer.asked, self._clock(), *more)

    async def _assertion(self, account: dict[str, Any], where: str) -> str:
        now = int(self._clock())
        head = {"alg": "RS256", "typ": "JWT"}
        if isinstance(account.get("private_key_id"), str):
            head["kid"] = account["private_key_id"]
        claims = {
            "iss": _text(account, "client_email", where),
            "scope": SCOPE,
            "aud": _token_url(account),
            "iat": now,
            "exp": now + LIFE,
        }
        message = _base64url(msgspec.json.encode(head)) + b"." + _base64url(msgspec.json.encode(claims))
        key = _text(account, "private_key", where)
        # The library is loaded with the first one, which takes longer than the loop may stand still.
        signature = await asyncio.to_thread(sign_rs256, key, message)
        return (message + b"." + _base64url(signature)).decode()


def _token_url(found: dict[str, Any]) -> str:
    url = found.get("token_uri")
    return url if isinstance(url, str) else TOKEN_URL


def _text(found: dict[str, Any], name: str, where: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise refused(f"{where} has no {name}")
    return value


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
