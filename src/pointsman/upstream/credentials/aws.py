"""Amazon Web Services: keys from wherever AWS's own tools look for them.

Sources: docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html, .../feature-container-credentials.html,
docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pointsman.upstream.credentials.base import Lease, refused
from pointsman.upstream.credentials.caching import Cached
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.profiles import read_profile
from pointsman.upstream.credentials.sts import AwsKeys, Signer, Sts, lease_of
from pointsman.upstream.credentials.tokens import read_file
from pointsman.wire.identity import AwsIdentity

SERVICE = "bedrock"
FILE_LIFE = 600.0
"""Seconds after which keys of a file are read again, since files are how they are rotated."""
MAX_SOURCES = 5
"""Profiles that may follow each other by ``source_profile``."""
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"


class Aws:
    """Gets keys for an identity."""

    def __init__(self, identity: AwsIdentity, calls: Calls, sign: Signer, clock: Callable[[], float]) -> None:
        self._identity = identity
        self._calls = calls
        self._clock = clock
        self._sts = Sts(calls, sign, clock, identity.region, identity.sts_url)

    async def fetch(self) -> Lease[AwsKeys]:
        """Keys that hold for a while.

        :raises UpstreamError: there are none
        """
        identity = self._identity
        lease = await self._first()
        if identity.role_arn is not None:
            first = _sendable(lease)
            lease = await self._sts.assume(first.value, identity.role_arn, identity.session_name, identity.external_id)
        return _sendable(lease)

    async def _first(self) -> Lease[AwsKeys]:
        identity = self._identity
        if identity.web_identity_role is not None:
            return await self._by_web_identity(identity.web_identity_role)
        if identity.access_key_id is not None and identity.secret_access_key is not None:
            token = identity.session_token
            secret = identity.secret_access_key.reveal()
            return Lease(AwsKeys(identity.access_key_id, secret, None if token is None else token.reveal()), math.inf)
        profile = read_profile(identity.profile, identity.credentials_file, identity.config_file)
        lease = None if profile is None else await self._of_profile(profile, MAX_SOURCES)
        if lease is not None:
            return lease
        return await self._of_machine()

    async def _by_web_identity(self, role: str) -> Lease[AwsKeys]:
        identity = self._identity
        if identity.web_identity_file is not None:
            token = read_file(identity.web_identity_file).strip()
        elif identity.web_identity_token is not None:
            token = identity.web_identity_token.reveal()
        else:
            raise refused("a web identity has no token")
        return await self._sts.with_web_identity(token, role, identity.session_name)

    async def _of_profile(self, profile: dict[str, str], most: int) -> Lease[AwsKeys] | None:
        """Keys of a profile; ``None`` when it says nothing of them."""
        role = profile.get("role_arn")
        if role is not None:
            return await self._of_role(profile, role, most)
        if "aws_access_key_id" in profile and "aws_secret_access_key" in profile:
            keys = AwsKeys(
                profile["aws_access_key_id"], profile["aws_secret_access_key"], profile.get("aws_session_token")
            )
            return Lease(keys, self._clock() + FILE_LIFE)
        if profile.keys() & {"credential_process", "sso_session", "sso_start_url"}:
            raise refused("an AWS profile uses sso or credential_process, which are not known here")
        return None

    async def _of_role(self, profile: dict[str, str], role: str, most: int) -> Lease[AwsKeys]:
        session = profile.get("role_session_name") or self._identity.session_name
        file, source = profile.get("web_identity_token_file"), profile.get("source_profile")
        if file is not None:
            return await self._sts.with_web_identity(read_file(file).strip(), role, session)
        if source is not None:
            if most == 0:
                raise refused("AWS profiles refer to each other by source_profile too often")
            found = read_profile(source, self._identity.credentials_file, self._identity.config_file) or {}
            # A profile may be its own source: the role is then assumed with its own keys.
            found = {name: value for name, value in found.items() if found != profile or name != "role_arn"}
            lease = await self._of_profile(found, most - 1)
        else:
            lease = await self._of_machine()
        if lease is None:
            raise refused("an AWS profile has a role_arn, and nobody to assume it")
        return await self._sts.assume(lease.value, role, session, profile.get("external_id"))

    async def _of_machine(self) -> Lease[AwsKeys]:
        identity = self._identity
        if identity.container_url is not None:
            return await self._of_container(identity.container_url)
        if identity.metadata_url is None:
            raise refused("there are no AWS credentials: no keys, no profile, no role")
        return await self._of_instance(identity.metadata_url.rstrip("/"))

    async def _of_container(self, url: str) -> Lease[AwsKeys]:
        identity, headers = self._identity, {}
        if identity.container_token_file is not None:
            headers["authorization"] = read_file(identity.container_token_file).strip()
        elif identity.container_token is not None:
            headers["authorization"] = identity.container_token.reveal()
        answer = await self._calls.get(url, headers)
        return lease_of(answer.fields(), answer.asked)

    async def _of_instance(self, base: str) -> Lease[AwsKeys]:
        """By the second version of the metadata service, which asks for a token of its own first."""
        life = {"x-aws-ec2-metadata-token-ttl-seconds": "300"}
        token = (await self._calls.get(f"{base}/latest/api/token", life, method=b"PUT")).text()
        headers = {"x-aws-ec2-metadata-token": token}
        role = (await self._calls.get(base + ROLE_PATH, headers)).text()
        answer = await self._calls.get(base + ROLE_PATH + role, headers)
        return lease_of(answer.fields(), answer.asked)


def _sendable(lease: Lease[AwsKeys]) -> Lease[AwsKeys]:
    keys = lease.value
    for text in (keys.access_key_id, keys.session_token or ""):
        if not (text.isascii() and text.isprintable()):
            raise refused("an AWS key or session token has characters that cannot be sent in a header")
    return lease


class Signing:
    """Authorizes by a signature of the request."""

    def __init__(self, cached: Cached[AwsKeys], sign: Signer, region: str, clock: Callable[[], float]) -> None:
        self._cached = cached
        self._sign = sign
        self._region = region
        self._clock = clock

    async def authorize(self, method: bytes, target: bytes, host: bytes, body: bytes) -> bytes:
        """The lines of Signature Version 4."""
        keys = await self._cached.get()
        return self._sign(
            method,
            target,
            [(b"host", host)],
            body,
            keys,
            region=self._region,
            service=SERVICE,
            when=self._clock(),
        )

    def doubt(self) -> None:
        """Get other keys."""
        self._cached.doubt()
