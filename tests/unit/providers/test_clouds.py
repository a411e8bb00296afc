from __future__ import annotations

from pointsman.providers.base import VendorOptions
from pointsman.providers.clouds import CLOUDS
from pointsman.providers.registry import load_vendors


def test_every_vendor_of_a_cloud_names_one_that_is_there() -> None:
    named = {vendor.cloud for vendor in load_vendors().values() if vendor.cloud is not None}
    assert named == set(CLOUDS)


def test_every_cloud_does_what_a_cloud_must() -> None:
    options = VendorOptions(project="p", location="l", region="us-east-1")
    for cloud in CLOUDS.values():
        assert cloud.dialect("some-model") in {"openai", "gemini", "converse"}
        assert cloud.base_url(options, "https://own.test/x") == "https://own.test/x"
        assert cloud.adapt("chat", "some-model", {"a": 1}) == {"a": 1}
