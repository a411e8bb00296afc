"""Entries of clouds: what their addresses are made of, and who the gateway is to them.

What an entry says goes before the environment, and a key before an identity that says no more. Variables are those of
LiteLLM and of the clouds' own tools.
"""

from __future__ import annotations

import ipaddress
import pathlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from pointsman.config.kinds import Mismatch, read_url
from pointsman.providers.base import Vendor, VendorOptions
from pointsman.providers.clouds import CLOUDS
from pointsman.providers.vendors.bedrock import DEFAULT_REGION, area_of, region_of
from pointsman.providers.vendors.vertex import DEFAULT_LOCATION
from pointsman.upstream.credentials.tokens import is_file
from pointsman.wire.identity import AwsIdentity, AzureIdentity, GoogleIdentity, Identity
from pointsman.wire.secret import Secret

MAX_CREDENTIALS_BYTES = 65_536
_PLACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_API_VERSION = "api-version"
_AZURE_REGION = re.compile(r"[a-z0-9-]+\.([a-z0-9]+)\.models\.ai\.azure\.com")
_AZURE_HOSTS = (".services.ai.azure.com", ".openai.azure.com", ".cognitiveservices.azure.com")
_CONTAINER_HOST = "169.254.170.2"
_CONTAINER_HOSTS = frozenset({_CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23", "localhost"})
_OWN_IDENTITY = {
    "azure": ("azure_ad_token", "client_secret"),
    "azure_ai": ("azure_ad_token", "client_secret"),
    "vertex": ("vertex_credentials", "vertex_ai_credentials"),
    "bedrock": ("aws_access_key_id", "aws_profile_name", "aws_role_name", "aws_web_identity_token"),
}
"""Keys of an entry with which it says who it is, so that no key of the environment is taken for it."""


class Ground(msgspec.Struct, frozen=True):
    """What an entry says and what the environment has."""

    params: Mapping[str, Any]
    environment: Mapping[str, str]
    may_ask_azure_machine: bool = False
    """``enable_azure_ad_token_refresh``: whether the managed identity of an Azure machine is asked for."""

    def text(self, *names: str) -> str | None:
        """The first that is set: of lower-case names the entry's key, of others the variable."""
        for name in names:
            found = self.params.get(name) if name.islower() else self.environment.get(name, "").strip()
            if found:
                return found.reveal() if isinstance(found, Secret) else str(found)
        return None

    def url(self, *names: str) -> str | None:
        """The same, as an address.

        Raises:
            Mismatch: it is none.

        """
        found = self.text(*names)
        if found is None:
            return None
        try:
            return read_url(found)
        except Mismatch as mismatch:
            raise Mismatch(f"{' or '.join(names)} {mismatch}") from None

    def place(self, *names: str) -> str | None:
        """The same, as a region or location, which becomes part of a host's name.

        Raises:
            Mismatch: it cannot be one.

        """
        found = self.text(*names)
        if found is not None and not _PLACE.fullmatch(found):
            raise Mismatch(f"{' or '.join(names)} must be a region such as us-east-1")
        return found

    def secret(self, *names: str) -> Secret | None:
        """The same, as a secret."""
        found = self.text(*names)
        return None if found is None else Secret(found)


def with_version(raw: dict[str, Any]) -> dict[str, Any]:
    """``litellm_params`` whose ``api_base`` ends in ``?api-version=...``, as Azure's portal shows it, in two keys."""
    for key in ("api_base", "base_url"):
        url = raw.get(key)
        if isinstance(url, str) and "?" in url:
            address, _, query = url.partition("?")
            fields = parse_qs(query)
            if fields.keys() == {_API_VERSION}:
                return {"api_version": fields[_API_VERSION][0], **raw, key: address}
    return raw


def options_of(vendor: Vendor, model: str, ground: Ground) -> VendorOptions:
    """What the addresses of an entry are made of; nothing for a vendor that is no cloud."""
    text = ground.text
    if vendor.cloud in {"azure", "azure_ai"}:
        variables = ("AZURE_API_VERSION",) if vendor.cloud == "azure" else ()
        return VendorOptions(api_version=text("api_version", *variables))
    if vendor.cloud == "vertex":
        return VendorOptions(
            api_version="v1beta1" if vendor.name == "vertex_ai_beta" else None,
            project=_project(ground),
            location=ground.place(
                "vertex_location", "vertex_ai_location", "region_name", "VERTEXAI_LOCATION", "VERTEX_LOCATION"
            ),
        )
    if vendor.cloud == "bedrock":
        stated = ground.place("aws_region_name", "region_name", "AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
        return VendorOptions(region=region_of(model) or stated or DEFAULT_REGION)
    return VendorOptions()


def address_of(vendor: Vendor, options: VendorOptions, given: str | None, ground: Ground) -> str | None:
    """The address of a cloud's deployment; ``given`` is its ``api_base``, or the environment's."""
    if vendor.cloud is None:
        return given
    if vendor.cloud == "bedrock":
        endpoint = ground.url("aws_bedrock_runtime_endpoint", "AWS_BEDROCK_RUNTIME_ENDPOINT")
        given = endpoint or given
    return CLOUDS[vendor.cloud].base_url(options, given)


def place_of(stated: str | None, vendor: Vendor, model: str, options: VendorOptions, base_url: str) -> str | None:
    """Where a deployment answers: as ``stated``, else as its cloud's settings say; ``None`` where that is not known.

    Not known is also where names are given later, or are the operator's own, and each may be of another place.
    """
    if stated is not None:
        # Azure shows its places with blanks: West Europe.
        found = stated.lower().replace(" ", "")
        return found if _PLACE.fullmatch(found) else None
    if vendor.cloud == "bedrock":
        is_open = ("*" in model or "inference-profile/" in model) and area_of(model) is None
        return None if is_open else area_of(model) or options.region
    if vendor.cloud == "vertex":
        return (options.location or DEFAULT_LOCATION) if options.project is not None else "global"
    if vendor.cloud == "azure_ai":
        host = _AZURE_REGION.fullmatch(urlsplit(base_url).hostname or "")
        return None if host is None else host.group(1)
    return None


def says_who(vendor: Vendor, params: Mapping[str, Any]) -> bool:
    """Whether an entry names an identity of its own."""
    return any(name in params for name in _OWN_IDENTITY.get(vendor.cloud or "", ()))


def with_key_place(vendor: Vendor, model: str, base_url: str) -> Vendor:
    """The vendor as this deployment takes its key: Foundry has different places for it."""
    if vendor.cloud != "azure_ai":
        return vendor
    if "claude" in model.lower():
        return msgspec.structs.replace(vendor, key_header="x-api-key")
    if (urlsplit(base_url).hostname or "").endswith(_AZURE_HOSTS):
        return vendor
    return msgspec.structs.replace(vendor, key_header="authorization", key_prefix="Bearer ")


def identity_of(vendor: Vendor, options: VendorOptions, ground: Ground) -> Identity | None:
    """Who the gateway is to the entry's cloud.

    Raises:
        Mismatch: it is nobody; the text says what could be set.

    """
    if vendor.cloud in {"azure", "azure_ai"}:
        return _azure(ground)
    if vendor.cloud == "vertex":
        return _google(ground)
    if vendor.cloud == "bedrock":
        return _amazon(ground, options.region or DEFAULT_REGION)
    return None


def _azure(ground: Ground) -> AzureIdentity:
    text, secret = ground.text, ground.secret
    token, token_file = secret("azure_ad_token", "AZURE_AD_TOKEN"), text("AZURE_FEDERATED_TOKEN_FILE")
    source = "" if token is None else token.reveal()
    if source.startswith("oidc/"):
        token, token_file = None, _token_file(source, "azure_ad_token", ground)
    identity = AzureIdentity(
        token=token,
        scope=text("azure_scope", "AZURE_SCOPE") or AzureIdentity().scope,
        tenant_id=text("tenant_id", "AZURE_TENANT_ID"),
        client_id=text("client_id", "AZURE_CLIENT_ID"),
        client_secret=secret("client_secret", "AZURE_CLIENT_SECRET"),
        token_file=token_file,
        authority=_authority(ground),
        identity_endpoint=ground.url("IDENTITY_ENDPOINT"),
        identity_header=secret("IDENTITY_HEADER"),
        metadata_url=ground.url("AZURE_POD_IDENTITY_AUTHORITY_HOST") or AzureIdentity().metadata_url,
    )
    is_application = identity.tenant_id is not None and identity.client_id is not None
    has_proof = identity.client_secret is not None or identity.token_file is not None
    if "client_secret" in ground.params and not is_application:
        raise Mismatch("client_secret needs tenant_id and client_id")
    if identity.token is None and not (is_application and has_proof):
        if identity.identity_endpoint is None and not ground.may_ask_azure_machine:
            raise Mismatch("has no api_key, azure_ad_token, or tenant_id, client_id and client_secret")
        return msgspec.structs.replace(identity, client_secret=None, token_file=None)
    return identity


def _authority(ground: Ground) -> str:
    """The cloud's own sign-in address; its tools take it without a scheme too."""
    host = ground.text("AZURE_AUTHORITY_HOST")
    if host is None:
        return AzureIdentity().authority
    try:
        return read_url(host if "://" in host else f"https://{host}")
    except Mismatch as mismatch:
        raise Mismatch(f"AZURE_AUTHORITY_HOST {mismatch}") from None


def _token_file(source: str, key: str, ground: Ground) -> str:
    """LiteLLM's ``oidc/...``: where a token of somebody else's lies."""
    kind, _, name = source.removeprefix("oidc/").partition("/")
    path = {
        "file": name,
        "env_path": ground.environment.get(name, "").strip(),
        "azure": ground.text("AZURE_FEDERATED_TOKEN_FILE"),
    }.get(kind)
    if not path:
        raise Mismatch(f"{key}: of oidc/ only file/PATH, env_path/NAME and azure/ are known here")
    return "/" + path.lstrip("/") if kind == "file" else path


def _google(ground: Ground) -> GoogleIdentity:
    text, file = _google_credentials(ground)
    host = ground.text("GCE_METADATA_HOST") or GoogleIdentity().metadata_host
    return GoogleIdentity(credentials=None if text is None else Secret(text), file=file, metadata_host=host)


def _google_credentials(ground: Ground) -> tuple[str | None, str | None]:
    """The text of credentials, or the path of a file."""
    stated = ground.text("vertex_credentials", "vertex_ai_credentials", "VERTEXAI_CREDENTIALS")
    if stated is not None and stated.lstrip().startswith("{"):
        return stated, None
    named = stated or ground.text("GOOGLE_APPLICATION_CREDENTIALS")
    if named is not None:
        return None, named
    folder = ground.text("CLOUDSDK_CONFIG")
    home = ground.text("HOME")
    if folder is None and home is not None:
        folder = f"{home}/.config/gcloud"
    wellknown = None if folder is None else str(pathlib.Path(folder) / "application_default_credentials.json")
    return None, wellknown if wellknown is not None and is_file(wellknown) else None


def _project(ground: Ground) -> str | None:
    """The project that is stated, or that the credentials are of; ``None`` with a key alone."""
    stated = ground.text("vertex_project", "vertex_ai_project", "VERTEXAI_PROJECT", "GOOGLE_CLOUD_PROJECT")
    if stated is not None or "api_key" in ground.params:
        return stated
    text, file = _google_credentials(ground)
    if file is not None:
        try:
            with pathlib.Path(file).open("rb") as opened:
                text = opened.read(MAX_CREDENTIALS_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            text = None
    try:
        found = msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Mismatch("vertex_credentials is neither JSON nor the path of a file with it") from None
    project = found.get("project_id") or found.get("quota_project_id")
    if not isinstance(project, str):
        raise Mismatch("has no vertex_project, and its credentials name none")
    return project


def _amazon(ground: Ground, region: str) -> AwsIdentity:
    text, params = ground.text, ground.params
    home = text("HOME")
    role = text("aws_role_name", "AWS_ROLE_NAME")
    common = AwsIdentity(
        region=region,
        role_arn=role,
        session_name=text("aws_session_name", "AWS_ROLE_SESSION_NAME", "AWS_SESSION_NAME") or "pointsman",
        external_id=text("aws_external_id", "AWS_EXTERNAL_ID"),
        sts_url=ground.url("aws_sts_endpoint", "AWS_STS_ENDPOINT", "AWS_ENDPOINT_URL_STS"),
        credentials_file=text("AWS_SHARED_CREDENTIALS_FILE") or (home and f"{home}/.aws/credentials"),
        config_file=text("AWS_CONFIG_FILE") or (home and f"{home}/.aws/config"),
        metadata_url=None,
    )
    has_profile = "aws_profile_name" in params
    if "aws_web_identity_token" in params:
        return _web_identity(common, str(text("aws_web_identity_token")), ground)
    if "aws_access_key_id" in params or "aws_secret_access_key" in params:
        return _keys(common, ground, "aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    if not has_profile and text("AWS_ACCESS_KEY_ID"):
        return _keys(common, ground, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    file, web_role = text("AWS_WEB_IDENTITY_TOKEN_FILE"), text("AWS_ROLE_ARN")
    if not has_profile and file is not None and web_role is not None:
        return msgspec.structs.replace(common, web_identity_file=file, web_identity_role=web_role)
    if has_profile:
        return msgspec.structs.replace(common, profile=text("aws_profile_name"))
    return _machine(msgspec.structs.replace(common, profile=text("AWS_PROFILE", "AWS_PROFILE_NAME")), ground)


def _keys(common: AwsIdentity, ground: Ground, *names: str) -> AwsIdentity:
    access, secret, session = names
    if not ground.text(access) or not ground.text(secret):
        raise Mismatch(f"needs both {access} and {secret}")
    return msgspec.structs.replace(
        common,
        access_key_id=ground.text(access),
        secret_access_key=ground.secret(secret),
        session_token=ground.secret(session),
    )


def _web_identity(common: AwsIdentity, token: str, ground: Ground) -> AwsIdentity:
    if common.role_arn is None:
        raise Mismatch("aws_web_identity_token needs aws_role_name")
    file = token if token.startswith("/") else None
    if token.startswith("oidc/"):
        file = _token_file(token, "aws_web_identity_token", ground)
    return msgspec.structs.replace(
        common,
        web_identity_file=file,
        web_identity_token=None if file is not None else Secret(token),
        web_identity_role=common.role_arn,
        role_arn=None,
    )


def _machine(identity: AwsIdentity, ground: Ground) -> AwsIdentity:
    """With what the container or the instance gives."""
    relative, url = (
        ground.text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        ground.text("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    )
    if relative is not None:
        url = f"http://{_CONTAINER_HOST}/{relative.lstrip('/')}"
    if url is not None and not _is_container_address(url):
        raise Mismatch("AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of the machine itself")
    is_disabled = (ground.text("AWS_EC2_METADATA_DISABLED") or "").lower() == "true"
    endpoint = ground.url("AWS_EC2_METADATA_SERVICE_ENDPOINT") or AwsIdentity(region="").metadata_url
    return msgspec.structs.replace(
        identity,
        container_url=url,
        container_token=ground.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        container_token_file=ground.text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        metadata_url=None if is_disabled else endpoint,
    )


def _is_container_address(url: str) -> bool:
    """As Amazon's own tools have it: the token that is sent there must not leave the machine in the clear."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "https" or host in _CONTAINER_HOSTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
