"""Amazon Bedrock: every model in the Converse API, below one address in each region.

Sources: docs.aws.amazon.com/general/latest/gr/bedrock.html, .../bedrock/latest/userguide/inference-profiles.html,
.../bedrock/latest/userguide/api-keys.html.
"""

from __future__ import annotations

import re
from typing import Any

from pointsman.providers.base import VendorOptions

DEFAULT_REGION = "us-west-2"
"""LiteLLM's, where the operator names none."""
SERVICE = "bedrock"
"""What requests are signed for."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_AREA = re.compile(r"(us-gov|us|eu|apac|jp|au|ca|sa|me|af|global)\.")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]+):")


def dialect(_model: str) -> str:
    """Always ``converse``."""
    return "converse"


def name(model: str) -> str:
    """As it is: the dialect knows the ways in which models are spelled."""
    return model


def region_of(model: str) -> str | None:
    """The region that a model's name carries: that of an ARN, or ``REGION/model`` as LiteLLM's users write it."""
    found = _ARN.search(model)
    if found is not None:
        return found.group(1)
    return next((part for part in model.split("/")[:-1] if _REGION.fullmatch(part)), None)


def area_of(model: str) -> str | None:
    """Where an inference profile may answer, wherever it is called: ``eu``, ``us``, ``global`` and others."""
    found = _AREA.match(model.rpartition("/")[2])
    return None if found is None else found.group(1)


def base_url(options: VendorOptions, api_base: str | None) -> str | None:
    """The operator's address (``aws_bedrock_runtime_endpoint``), or the region's own."""
    if api_base is not None:
        return api_base.rstrip("/")
    region = options.region or DEFAULT_REGION
    suffix = ".cn" if region.startswith("cn-") else ""
    return f"https://bedrock-runtime.{region}.amazonaws.com{suffix}"


def root(base_path: str, _model: str, _options: VendorOptions) -> str:
    """The dialect's own paths begin there."""
    return base_path


def path(base_path: str, operation: str, model: str, *, is_stream: bool, options: VendorOptions) -> str | None:  # noqa: ARG001  the dialect knows it
    """Whatever the dialect says."""
    return None


def adapt(_operation: str, _model: str, body: dict[str, Any]) -> dict[str, Any]:
    """The dialect's body is Bedrock's."""
    return body
