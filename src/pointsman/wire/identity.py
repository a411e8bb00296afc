"""Who the gateway is to a cloud: what it gets a credential with, as the operator has configured it.

Nothing here has been looked at or asked yet: files are named by path, servers by address. What is absent is not
tried.
"""

from __future__ import annotations

import msgspec

from pointsman.wire.secret import Secret


class AzureIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Microsoft Entra ID. The first of ``token``, ``client_secret``, ``token_file`` and managed identity counts."""

    scope: str = "https://cognitiveservices.azure.com/.default"
    token: Secret | None = None
    """A token that somebody else has got; sent as it is."""
    tenant_id: str | None = None
    client_id: str | None = None
    """The application, or the user-assigned managed identity."""
    client_secret: Secret | None = None
    token_file: str | None = None
    """Workload identity: a file with a federated token, read anew whenever an access token is got."""
    authority: str = "https://login.microsoftonline.com"
    identity_endpoint: str | None = None
    """Where App Service gives tokens; without it the machine's own endpoint is asked."""
    identity_header: Secret | None = None
    metadata_url: str = "http://169.254.169.254"
    """The machine's own endpoint."""


class GoogleIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Google Cloud. The first of ``credentials``, ``file`` and the machine's metadata server counts."""

    credentials: Secret | None = None
    """The text of a credentials file."""
    file: str | None = None
    metadata_host: str = "metadata.google.internal"


class AwsIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Amazon Web Services.

    The first of web identity, keys, profile, container and instance counts; with ``role_arn`` it then assumes that
    role.
    """

    region: str
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    credentials_file: str | None = None
    config_file: str | None = None
    role_arn: str | None = None
    session_name: str = "pointsman"
    external_id: str | None = None
    web_identity_token: Secret | None = None
    web_identity_file: str | None = None
    """Read anew whenever it is used, as is ``container_token_file``."""
    web_identity_role: str | None = None
    container_url: str | None = None
    container_token: Secret | None = None
    container_token_file: str | None = None
    metadata_url: str | None = "http://169.254.169.254"
    """Where an instance asks for its role; ``None`` where it must not."""
    sts_url: str | None = None
    """Default: the region's own."""


Identity = AzureIdentity | GoogleIdentity | AwsIdentity


def secrets_of(identity: Identity) -> tuple[str, ...]:
    """Every text of an identity that nobody may see."""
    values = (getattr(identity, name) for name in identity.__struct_fields__)
    return tuple(value.reveal() for value in values if isinstance(value, Secret))
