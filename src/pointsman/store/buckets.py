"""Buckets of S3 and what is compatible with it, of Google Cloud Storage and of Azure, by way of obstore.

Obstore is imported when there is a bucket to be called. Credentials come from where the cloud's own tools look for
them: the environment, files, and what the container or the machine gives.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pointsman.errors import GatewayError
from pointsman.upstream.credentials.profiles import read_profile

if TYPE_CHECKING:
    from obstore.store import ObjectStore

BucketKind = Literal["s3", "gcs", "azure"]
SCHEMES: dict[str, BucketKind] = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "azure": "azure"}
"""How addresses of buckets begin."""
CONNECT_SECONDS = 3.0
MAX_RETRIES = 2
KEY_LIFE = 600.0
"""Seconds after which keys of a file are read again, since files are how they are rotated."""
MAX_WHY = 200
_STATUS = re.compile(r"status code: (\d{3}(?: [A-Z][A-Za-z ]*)?)")
_QUIET = re.compile(
    r"\s*Debug source:.*|Error performing \w+ https?://.*? - |\(?\b(?:for url )?\(?https?://[^\s)]+\)?", re.DOTALL
)

Environ = Mapping[str, str]


class BucketFault(Exception):
    """A bucket cannot be used: what is wrong, and what to do. Neither holds a credential."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what} ({hint})" if hint else what)
        self.what = what
        self.hint = hint


def open_bucket(kind: BucketKind, name: str, environ: Environ, seconds: float, what: str) -> ObjectStore:
    """A bucket, of which nothing is asked yet; ``what`` is to be in it, and a call of it may take ``seconds``.

    :raises BucketFault: obstore is not installed, or the settings in the environment cannot be used
    """
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415
        from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415
    except ImportError:
        wrong = f"{what} in a bucket ({kind}) needs obstore, which is not installed"
        raise BucketFault(wrong, "pip install 'pointsman[objects]'") from None
    common: dict[str, Any] = {
        "client_options": {
            "timeout": timedelta(seconds=seconds),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        },
        "retry_config": {"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=seconds)},
    }
    given = {"s3": _s3, "gcs": _gcs, "azure": _azure}[kind](environ)
    address = str(given.get("endpoint") or given.get("base_url") or "")
    # Whoever names an address without TLS means it.
    common["client_options"]["allow_http"] = address.startswith("http://") or given.get("use_emulator", False)
    try:
        if kind == "s3":
            return S3Store(name, **common, **given)
        return GCSStore(name, **common, **given) if kind == "gcs" else AzureStore(name, **common, **given)
    except (BaseError, ValueError) as error:
        wrong = f"cannot use the bucket {name} ({kind}): {reason(error)}"
        raise BucketFault(wrong, "docs/how-to/reload.md names the variables") from None


def _s3(environ: Environ) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "endpoint": environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL"),
        "region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"),
        "access_key_id": environ.get("AWS_ACCESS_KEY_ID"),
        "secret_access_key": environ.get("AWS_SECRET_ACCESS_KEY"),
        "session_token": environ.get("AWS_SESSION_TOKEN"),
        "metadata_endpoint": environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    }
    given = {name: value for name, value in stated.items() if value}
    if "access_key_id" in given or environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return given
    keys, region = _profile(environ)
    if region:
        given.setdefault("region", region)
    return given if keys is None else given | {"credential_provider": keys}


def _profile(environ: Environ) -> tuple[Callable[[], dict[str, Any]] | None, str | None]:
    """What gives the keys of AWS's files, if there are any in them, and their region."""
    home = environ.get("HOME")
    files = (
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or (home and f"{home}/.aws/credentials"),
        environ.get("AWS_CONFIG_FILE") or (home and f"{home}/.aws/config"),
    )

    def read() -> dict[str, str]:
        return read_profile(environ.get("AWS_PROFILE"), *files) or {}

    def keys() -> dict[str, Any]:
        profile = read()
        return {
            "access_key_id": profile["aws_access_key_id"],
            "secret_access_key": profile["aws_secret_access_key"],
            "token": profile.get("aws_session_token"),
            "expires_at": dt.datetime.now(dt.UTC) + timedelta(seconds=KEY_LIFE),
        }

    try:
        profile = read()
    except GatewayError as error:
        raise BucketFault(f"cannot use the AWS profile: {error.operator_detail}") from None
    has_keys = {"aws_access_key_id", "aws_secret_access_key"} <= profile.keys()
    return keys if has_keys else None, profile.get("region")


def _gcs(environ: Environ) -> dict[str, Any]:
    emulator = environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        return {"base_url": emulator if "://" in emulator else f"http://{emulator}", "skip_signature": True}
    file = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return {"application_credentials": file} if file else {}


def _azure(environ: Environ) -> dict[str, Any]:
    endpoint = environ.get("AZURE_STORAGE_ENDPOINT") or environ.get("AZURE_ENDPOINT")
    stated = {
        "account_name": environ.get("AZURE_STORAGE_ACCOUNT_NAME") or environ.get("AZURE_STORAGE_ACCOUNT"),
        "account_key": environ.get("AZURE_STORAGE_ACCOUNT_KEY") or environ.get("AZURE_STORAGE_KEY"),
        "endpoint": endpoint,
    }
    return {name: value for name, value in stated.items() if value}


def reason(error: BaseException) -> str:
    """What went wrong, in one line, without what obstore tells of addresses and answers, which may hold keys."""
    if isinstance(error, GatewayError):
        return error.operator_detail or error.message
    status = _STATUS.search(str(error))
    if status is not None:
        return f"it answered {status[1]}"
    text = _QUIET.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (" ".join(lines)[:MAX_WHY] or type(error).__name__).rstrip(":- ")
