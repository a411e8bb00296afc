"""AWS Security Token Service: roles that are assumed.

Sources: docs.aws.amazon.com/STS/latest/APIReference (API_AssumeRole, API_AssumeRoleWithWebIdentity).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import msgspec

from pointsman.upstream.credentials.base import Lease, unavailable
from pointsman.upstream.credentials.calls import FORM, Answer, Calls
from pointsman.upstream.routes import parse_origin

SERVICE = "sts"
_VERSION = "2011-06-15"
_MEMBER = re.compile(rb"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration|Code)>([^<\x80-\xff]{1,16384})</")
"""Keys are ASCII: what is not is none."""


class AwsKeys(msgspec.Struct, frozen=True):
    """What requests are signed with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(***)"


class Signer(Protocol):
    """Signature Version 4, whose code stands with the vendors."""

    def __call__(
        self,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        keys: AwsKeys,
        *,
        region: str,
        service: str,
        when: float,
    ) -> bytes:
        """Header lines, each ended by CRLF, with which a request is signed; ``headers`` are signed and not repeated.

        ``target`` is path and query as they are sent, ``when`` Unix time.
        """


class Sts:
    """The token service of a region, or at ``url``."""

    def __init__(self, calls: Calls, sign: Signer, clock: Callable[[], float], region: str, url: str | None) -> None:
        self._calls = calls
        self._sign = sign
        self._clock = clock
        self._region = region
        suffix = ".cn" if region.startswith("cn-") else ""
        self._url = (url or f"https://sts.{region}.amazonaws.com{suffix}").rstrip("/") + "/"

    async def assume(self, keys: AwsKeys, role: str, session: str, external_id: str | None) -> Lease[AwsKeys]:
        """Keys of ``role``, which whoever has ``keys`` may assume.

        :raises UpstreamError: there are none
        """
        form = {"Action": "AssumeRole", "Version": _VERSION, "RoleArn": role, "RoleSessionName": session}
        if external_id is not None:
            form["ExternalId"] = external_id
        host = parse_origin(self._url).host_header
        lines = self._sign(
            b"POST",
            urlsplit(self._url).path.encode(),
            [(b"host", host), FORM],
            urlencode(form).encode(),
            keys,
            region=self._region,
            service=SERVICE,
            when=self._clock(),
        )
        return _keys(await self._calls.post(self._url, form, lines))

    async def with_web_identity(self, token: str, role: str, session: str) -> Lease[AwsKeys]:
        """Keys of ``role`` for whom another service's ``token`` names.

        :raises UpstreamError: there are none
        """
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": _VERSION,
            "RoleArn": role,
            "RoleSessionName": session,
            "WebIdentityToken": token,
        }
        return _keys(await self._calls.post(self._url, form))


def lease_of(found: Mapping[str, object], asked: str) -> Lease[AwsKeys]:
    """Temporary keys from members as AWS names them; ``Token`` is what containers call ``SessionToken``.

    :raises UpstreamError: one is missing
    """
    access, secret = found.get("AccessKeyId"), found.get("SecretAccessKey")
    token, expiration = found.get("SessionToken") or found.get("Token"), found.get("Expiration")
    if not (isinstance(access, str) and isinstance(secret, str) and isinstance(token, str)):
        raise unavailable(f"{asked} answered without keys")
    try:
        expires_at = datetime.fromisoformat(str(expiration)).timestamp()
    except ValueError:
        raise unavailable(f"{asked} did not say how long its keys hold") from None
    return Lease(AwsKeys(access, secret, token), expires_at)


def _keys(answer: Answer) -> Lease[AwsKeys]:
    members = {name.decode(): html.unescape(value.decode()) for name, value in _MEMBER.findall(answer.body)}
    if answer.status != 200:
        raise answer.failure(members.get("Code"))
    return lease_of(members, answer.asked)
