from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.config.clouds import (
    Ground,
    address_of,
    identity_of,
    options_of,
    says_who,
    with_key_place,
    with_version,
)
from pointsman.config.kinds import Mismatch
from pointsman.providers.base import Deployment, Vendor, VendorOptions
from pointsman.providers.registry import load_vendors
from pointsman.wire.identity import AwsIdentity, AzureIdentity, GoogleIdentity, Identity
from pointsman.wire.secret import Secret

VENDORS = load_vendors()
ROLE = "arn:aws:iam::1:role/r"
APPLICATION = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}


def ground(params: Mapping[str, Any] | None = None, **environment: str) -> Ground:
    return Ground(params or {}, environment)


def who(vendor: str, params: Mapping[str, Any] | None = None, **environment: str) -> Identity | None:
    on = ground(params, **environment)
    return identity_of(VENDORS[vendor], options_of(VENDORS[vendor], "m", on), on)


def azure(params: Mapping[str, Any] | None = None, **environment: str) -> AzureIdentity:
    found = who("azure", params, **environment)
    assert isinstance(found, AzureIdentity)
    return found


def google(params: Mapping[str, Any] | None = None, **environment: str) -> GoogleIdentity:
    found = who("vertex_ai", {"vertex_project": "p"} | dict(params or {}), **environment)
    assert isinstance(found, GoogleIdentity)
    return found


def amazon(params: Mapping[str, Any] | None = None, **environment: str) -> AwsIdentity:
    found = who("bedrock", params, **environment)
    assert isinstance(found, AwsIdentity)
    return found


def test_a_vendor_that_is_no_cloud_has_nothing_of_it() -> None:
    groq, nothing = VENDORS["groq"], ground({"api_version": "x"})
    assert options_of(groq, "m", nothing) == VendorOptions()
    assert identity_of(groq, VendorOptions(), nothing) is None
    assert address_of(groq, VendorOptions(), "https://own.test", nothing) == "https://own.test"
    assert with_key_place(groq, "claude", "https://x") is groq
    assert not says_who(groq, {"client_secret": "s"})


# Azure.


def test_the_version_is_the_entrys_or_the_environments() -> None:
    assert options_of(VENDORS["azure"], "m", ground({"api_version": "v1"}, AZURE_API_VERSION="x")).api_version == "v1"
    assert options_of(VENDORS["azure"], "m", ground(AZURE_API_VERSION="x")).api_version == "x"
    assert options_of(VENDORS["azure_ai"], "m", ground(AZURE_API_VERSION="x")).api_version is None


def test_an_address_copied_from_the_portal_is_taken_apart() -> None:
    raw = {"api_base": "https://x.openai.azure.com/openai/deployments/d?api-version=2024-10-21"}
    assert with_version(raw) == {
        "api_base": "https://x.openai.azure.com/openai/deployments/d",
        "api_version": "2024-10-21",
    }
    assert with_version(raw | {"api_version": "own"})["api_version"] == "own"
    for url in ("https://x/y", "https://x/y?a=b", "https://x/y?api-version=1&a=b", 3):
        assert with_version({"api_base": url}) == {"api_base": url}


def test_a_token_that_is_given_goes_first() -> None:
    found = azure({"azure_ad_token": Secret("jwt")}, **APPLICATION)
    assert found.token == Secret("jwt")
    assert azure(AZURE_AD_TOKEN="jwt").token == Secret("jwt")


def test_an_application_is_the_entrys_or_the_environments() -> None:
    params = {"tenant_id": "T", "client_id": "C", "client_secret": Secret("S"), "azure_scope": "scope"}
    found = azure(params, **APPLICATION, AZURE_AUTHORITY_HOST="login.microsoftonline.us")
    assert (found.tenant_id, found.client_id, found.client_secret) == ("T", "C", Secret("S"))
    assert (found.scope, found.authority) == ("scope", "https://login.microsoftonline.us")
    theirs = azure(None, **APPLICATION)
    assert theirs.client_secret == Secret("s")
    assert theirs.scope == "https://cognitiveservices.azure.com/.default"


@pytest.mark.parametrize(
    ("params", "environment", "path"),
    [
        ({}, {"AZURE_FEDERATED_TOKEN_FILE": "/var/token"}, "/var/token"),
        ({"azure_ad_token": Secret("oidc/file/var/token")}, {}, "/var/token"),
        ({"azure_ad_token": Secret("oidc/file//var/token")}, {}, "/var/token"),
        ({"azure_ad_token": Secret("oidc/env_path/MINE")}, {"MINE": "/mine"}, "/mine"),
        ({"azure_ad_token": Secret("oidc/azure/x")}, {"AZURE_FEDERATED_TOKEN_FILE": "/var/token"}, "/var/token"),
    ],
)
def test_a_workload_has_its_token_in_a_file(params: dict[str, Any], environment: dict[str, str], path: str) -> None:
    found = azure(params, AZURE_TENANT_ID="t", AZURE_CLIENT_ID="c", **environment)
    assert (found.token, found.client_secret, found.token_file) == (None, None, path)


def test_app_service_and_machines_have_an_identity_of_their_own() -> None:
    found = azure(IDENTITY_ENDPOINT="http://127.0.0.1:41/msi/token", IDENTITY_HEADER="h")
    assert (found.identity_endpoint, found.identity_header) == ("http://127.0.0.1:41/msi/token", Secret("h"))
    machine = identity_of(VENDORS["azure"], VendorOptions(), Ground({}, {"AZURE_CLIENT_ID": "mine"}, True))
    assert machine == AzureIdentity(client_id="mine")


@pytest.mark.parametrize(
    ("params", "environment"),
    [
        ({}, {}),
        ({}, {"AZURE_CLIENT_SECRET": "s"}),
        ({"client_secret": Secret("s"), "client_id": "c"}, {"IDENTITY_ENDPOINT": "http://127.0.0.1/x"}),
        ({"azure_ad_token": Secret("oidc/github/x")}, {}),
        ({"azure_ad_token": Secret("oidc/env_path/UNSET")}, {}),
        ({}, APPLICATION | {"AZURE_AUTHORITY_HOST": "https://u:p@host"}),
        ({}, {"IDENTITY_ENDPOINT": "not an address"}),
    ],
)
def test_azure_without_a_way_in_is_told(params: dict[str, Any], environment: dict[str, str]) -> None:
    with pytest.raises(Mismatch):
        azure(params, **environment)


@pytest.mark.parametrize(
    ("model", "url", "header", "prefix"),
    [
        ("phi", "https://r.services.ai.azure.com/models", "api-key", ""),
        ("claude-x", "https://r.services.ai.azure.com/models", "x-api-key", ""),
        ("phi", "https://one.eastus.models.ai.azure.com", "authorization", "Bearer "),
    ],
)
def test_foundry_takes_a_key_in_different_places(model: str, url: str, header: str, prefix: str) -> None:
    vendor = with_key_place(VENDORS["azure_ai"], model, url)
    assert (vendor.key_header, vendor.key_prefix) == (header, prefix)


# Google.


def test_project_and_location_are_the_entrys_or_the_environments() -> None:
    vertex = VENDORS["vertex_ai"]
    params = {"vertex_project": "p", "vertex_location": "europe-west1"}
    own = options_of(vertex, "m", ground(params, VERTEXAI_PROJECT="x", VERTEXAI_LOCATION="y"))
    assert (own.project, own.location) == ("p", "europe-west1")
    theirs = options_of(vertex, "m", ground({"vertex_ai_project": "q"}, VERTEXAI_LOCATION="global"))
    assert (theirs.project, theirs.location) == ("q", "global")
    assert options_of(vertex, "m", ground(GOOGLE_CLOUD_PROJECT="g")).project == "g"


def test_the_beta_of_vertex_is_a_version() -> None:
    options = options_of(VENDORS["vertex_ai_beta"], "m", ground({"vertex_project": "p"}))
    assert options.api_version == "v1beta1"


def test_the_project_may_be_that_of_the_credentials(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text('{"project_id": "from-file"}')
    vertex = VENDORS["vertex_ai"]
    for params, environment, project in (
        ({"vertex_credentials": Secret('{"project_id": "inline"}')}, {}, "inline"),
        ({"vertex_credentials": Secret(str(path))}, {}, "from-file"),
        ({}, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}, "from-file"),
        ({"vertex_credentials": Secret('{"quota_project_id": "billed"}')}, {}, "billed"),
    ):
        assert options_of(vertex, "m", ground(params, **environment)).project == project


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", "/nowhere/key.json"])
def test_without_a_project_vertex_cannot_be_called(text: str) -> None:
    with pytest.raises(Mismatch) as caught:
        options_of(VENDORS["vertex_ai"], "m", ground({"vertex_credentials": Secret(text)}))
    assert text not in str(caught.value)


def test_a_key_alone_is_express_mode() -> None:
    assert options_of(VENDORS["vertex_ai"], "m", ground({"api_key": Secret("k")})) == VendorOptions()


def test_credentials_are_text_a_path_or_what_gcloud_left(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    wellknown = folder / "application_default_credentials.json"
    wellknown.write_text("{}")
    assert google({"vertex_credentials": Secret(' {"a": 1}')}).credentials == Secret(' {"a": 1}')
    assert google({"vertex_credentials": Secret("/key.json")}, HOME=str(tmp_path)).file == "/key.json"
    assert google(VERTEXAI_CREDENTIALS="/v.json", GOOGLE_APPLICATION_CREDENTIALS="/g.json").file == "/v.json"
    assert google(GOOGLE_APPLICATION_CREDENTIALS="/g.json", HOME=str(tmp_path)).file == "/g.json"
    assert google(HOME=str(tmp_path)).file == str(wellknown)
    assert google(CLOUDSDK_CONFIG=str(folder)).file == str(wellknown)


def test_otherwise_the_machine_is_asked() -> None:
    assert google(HOME="/nowhere") == GoogleIdentity()
    # A name that the system refuses, as it does a folder that is closed to us.
    assert google(HOME="/" + "x" * 300) == GoogleIdentity()
    assert google(GCE_METADATA_HOST="127.0.0.1:8080").metadata_host == "127.0.0.1:8080"


# Amazon.


@pytest.mark.parametrize(
    ("model", "params", "environment", "region"),
    [
        ("m", {"aws_region_name": "eu-west-1"}, {"AWS_REGION": "x"}, "eu-west-1"),
        ("m", {"region_name": "eu-west-1"}, {}, "eu-west-1"),
        ("m", {}, {"AWS_REGION_NAME": "eu-west-1", "AWS_DEFAULT_REGION": "x"}, "eu-west-1"),
        ("m", {}, {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ("arn:aws:bedrock:eu-west-3:1:inference-profile/x", {"aws_region_name": "us-east-1"}, {}, "eu-west-3"),
        ("us-gov-west-1/m", {}, {}, "us-gov-west-1"),
        ("m", {}, {}, "us-west-2"),
    ],
)
def test_a_region_is_found_where_litellm_finds_it(
    model: str, params: dict[str, str], environment: dict[str, str], region: str
) -> None:
    assert options_of(VENDORS["bedrock"], model, ground(params, **environment)).region == region


@pytest.mark.parametrize("region", ["eu west", "x.evil.test/", "-a", "EU", ""])
def test_a_region_cannot_be_another_host(region: str) -> None:
    for vendor, params in (("bedrock", {"aws_region_name": region}), ("vertex_ai", {"vertex_location": region})):
        on = ground({"vertex_project": "p"} | params)
        if not region:
            options_of(VENDORS[vendor], "m", on)
            continue
        with pytest.raises(Mismatch):
            options_of(VENDORS[vendor], "m", on)


def test_an_endpoint_of_ones_own_goes_first() -> None:
    bedrock, options = VENDORS["bedrock"], VendorOptions(region="eu-west-1")
    params = {"aws_bedrock_runtime_endpoint": "https://vpce.test"}
    assert address_of(bedrock, options, "https://base.test", ground(params)) == "https://vpce.test"
    on = ground(AWS_BEDROCK_RUNTIME_ENDPOINT="https://env.test/")
    assert address_of(bedrock, options, None, on) == "https://env.test"
    assert address_of(bedrock, options, None, ground()) == "https://bedrock-runtime.eu-west-1.amazonaws.com"


def test_keys_of_the_entry_go_before_those_of_the_environment() -> None:
    params = {"aws_access_key_id": "AK", "aws_secret_access_key": Secret("s")}
    environment = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e", "AWS_SESSION_TOKEN": "t"}
    own, theirs = amazon(params, **environment), amazon(None, **environment)
    assert (own.access_key_id, own.secret_access_key, own.session_token) == ("AK", Secret("s"), None)
    assert (theirs.access_key_id, theirs.secret_access_key, theirs.session_token) == ("ENV", Secret("e"), Secret("t"))


def test_a_profile_of_the_entry_goes_before_the_environment() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e", "HOME": "/home/me"}
    found = amazon({"aws_profile_name": "team"}, **environment)
    assert (found.profile, found.access_key_id, found.metadata_url) == ("team", None, None)
    assert (found.credentials_file, found.config_file) == ("/home/me/.aws/credentials", "/home/me/.aws/config")
    named = amazon(AWS_PROFILE="p", AWS_SHARED_CREDENTIALS_FILE="/c", AWS_CONFIG_FILE="/f")
    assert (named.profile, named.credentials_file, named.config_file) == ("p", "/c", "/f")


def test_a_role_is_assumed_by_whoever_else_there_is() -> None:
    params = {"aws_role_name": ROLE, "aws_session_name": "me", "aws_external_id": "x"}
    found = amazon(params, AWS_STS_ENDPOINT="https://sts.test")
    assert (found.role_arn, found.session_name, found.external_id) == (ROLE, "me", "x")
    assert found.sts_url == "https://sts.test"
    assert amazon().session_name == "pointsman"


@pytest.mark.parametrize(
    ("token", "file"), [("jwt", None), ("/var/token", "/var/token"), ("oidc/file/var/token", "/var/token")]
)
def test_a_web_identity_of_the_entry_assumes_its_role(token: str, file: str | None) -> None:
    found = amazon({"aws_web_identity_token": Secret(token), "aws_role_name": ROLE})
    assert (found.web_identity_file, found.web_identity_role, found.role_arn) == (file, ROLE, None)
    assert found.web_identity_token == (Secret(token) if file is None else None)


def test_a_web_identity_of_the_environment_may_assume_one_more_role() -> None:
    environment = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "pod"}
    found = amazon({"aws_role_name": ROLE}, **environment)
    assert (found.web_identity_file, found.web_identity_role, found.role_arn) == ("/t", "pod", ROLE)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/c"}, "http://169.254.170.2/v2/c"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/c"}, "http://169.254.170.23/v1/c"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:80/c"}, "http://127.0.0.1:80/c"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://own.test/c"}, "https://own.test/c"),
        ({}, None),
    ],
)
def test_a_container_gives_keys_at_an_address_of_its_machine(environment: dict[str, str], url: str | None) -> None:
    assert amazon(None, **environment).container_url == url


def test_an_instance_is_asked_unless_it_must_not_be() -> None:
    assert amazon().metadata_url == "http://169.254.169.254"
    assert amazon(AWS_EC2_METADATA_DISABLED="TRUE").metadata_url is None
    assert amazon(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://[fd00:ec2::254]").metadata_url == "http://[fd00:ec2::254]"


@pytest.mark.parametrize(
    ("params", "environment"),
    [
        ({"aws_access_key_id": "AK"}, {}),
        ({"aws_secret_access_key": Secret("s")}, {}),
        ({}, {"AWS_ACCESS_KEY_ID": "AK"}),
        ({"aws_web_identity_token": Secret("jwt")}, {}),
        ({"aws_web_identity_token": Secret("oidc/google/x"), "aws_role_name": ROLE}, {}),
        ({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/c"}),
        ({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[::1/c"}),
        ({}, {"AWS_STS_ENDPOINT": "nowhere"}),
    ],
)
def test_amazon_with_half_a_credential_is_told(params: dict[str, Any], environment: dict[str, str]) -> None:
    with pytest.raises(Mismatch):
        amazon(params, **environment)


# Whole documents.


@pytest.fixture
def vendors() -> dict[str, Vendor]:
    return VENDORS


def entry(text: str) -> str:
    return f"model_list: [{{model_name: m, litellm_params: {{{text}}}}}]\n"


def only(build: Callable[..., Any], text: str, environ: Mapping[str, str] | None = None) -> Deployment:
    (found,) = build(text, environ).good.deployments
    assert isinstance(found, Deployment)
    return found


def test_an_azure_deployment_has_its_address_its_version_and_its_key(build: Callable[..., Any]) -> None:
    text = "model: azure/mine, api_base: 'https://x.openai.azure.com/', api_version: 2024-06-01, api_key: k"
    found = only(build, entry(text))
    assert (found.base_url, found.upstream_model) == ("https://x.openai.azure.com", "mine")
    assert (found.options.api_version, found.credential, found.identity) == ("2024-06-01", Secret("k"), None)


def test_an_identity_of_the_entry_goes_before_a_key_of_the_environment(build: Callable[..., Any]) -> None:
    text = "model: azure/mine, api_base: 'https://x', tenant_id: t, client_id: c, client_secret: s"
    found = only(build, entry(text), {"AZURE_API_KEY": "k"})
    assert found.credential is None
    assert isinstance(found.identity, AzureIdentity)


def test_a_key_of_the_environment_goes_before_its_identity(build: Callable[..., Any]) -> None:
    found = only(build, entry("model: azure/mine, api_base: 'https://x'"), {"AZURE_API_KEY": "k"} | APPLICATION)
    assert (found.credential, found.identity) == (Secret("k"), None)


def test_an_azure_entry_without_credential_or_address_is_left_out(build: Callable[..., Any]) -> None:
    for text in ("model: azure/mine, api_base: 'https://x'", "model: azure/mine, api_key: k"):
        built = build(entry(text))
        assert built.good.deployments == ()
        assert "is left out" in "".join(built.said("warning"))


def test_a_mock_of_a_cloud_needs_neither(build: Callable[..., Any]) -> None:
    found = only(build, entry("model: azure/mine, mock_response: hello"))
    assert (found.base_url, found.identity) == ("", None)


def test_a_bedrock_entry_is_made_of_its_region(build: Callable[..., Any]) -> None:
    text = "model: bedrock/us.anthropic.claude-v2, aws_region_name: eu-west-1, aws_access_key_id: AK"
    found = only(build, entry(text + ", aws_secret_access_key: s"))
    assert found.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert isinstance(found.identity, AwsIdentity)
    assert found.defaults == {}
    keyed = only(build, entry("model: bedrock/x"), {"AWS_BEARER_TOKEN_BEDROCK": "b"})
    assert (keyed.credential, keyed.identity) == (Secret("b"), None)


def test_a_vertex_entry_takes_its_credentials_as_a_mapping(build: Callable[..., Any]) -> None:
    found = only(build, entry("model: vertex_ai/gemini-x, vertex_credentials: {project_id: p, type: service_account}"))
    assert found.base_url == "https://us-central1-aiplatform.googleapis.com"
    assert found.options.project == "p"
    assert isinstance(found.identity, GoogleIdentity)
    assert found.identity.credentials is not None
    assert msgspec.json.decode(found.identity.credentials.reveal()) == {"project_id": "p", "type": "service_account"}


def test_a_shared_credential_may_be_that_of_a_cloud(build: Callable[..., Any]) -> None:
    text = entry("model: bedrock/x, litellm_credential_name: aws, aws_region_name: eu-west-1")
    text += (
        "credential_list: [{credential_name: aws, credential_values: {aws_access_key_id: A, aws_secret_access_key: s,"
    )
    text += " aws_region_name: us-east-1}, credential_info: {note: x}}]\n"
    found = only(build, text)
    assert isinstance(found.identity, AwsIdentity)
    assert (found.identity.access_key_id, found.identity.region) == ("A", "eu-west-1")


def test_which_parameters_are_left_out_or_sent_is_the_entrys_or_everybodys(build: Callable[..., Any]) -> None:
    more = ", additional_drop_params: [seed], allowed_openai_params: [tools], merge_reasoning_content_in_choices: true"
    own = only(build, entry("model: demo/small, drop_params: true" + more))
    assert own.drops_params
    assert (own.dropped_params, own.allowed_params, own.merges_reasoning) == (("seed",), ("tools",), True)
    all_of_them = "litellm_settings: {drop_params: true}\n"
    assert only(build, entry("model: demo/small") + all_of_them).drops_params
    assert not only(build, entry("model: demo/small, drop_params: false") + all_of_them).drops_params
    assert not only(build, entry("model: demo/small")).drops_params


def test_who_runs_batches_is_the_entrys(build: Callable[..., Any]) -> None:
    assert only(build, entry("model: demo/small, batch: provider")).runs_batches
    assert not only(build, entry("model: demo/small, batch: lines")).runs_batches
    assert not only(build, entry("model: demo/small")).runs_batches


def test_another_identity_is_another_snapshot_and_shows_in_none(build: Callable[..., Any]) -> None:
    text = entry("model: azure/mine, api_base: 'https://x'")
    one, two = (build(text, APPLICATION | {"AZURE_CLIENT_SECRET": secret}).good for secret in ("hidden-1", "hidden-2"))
    assert one.hash != two.hash
    assert "hidden" not in repr(one)
    version = build(text, APPLICATION | {"AZURE_CLIENT_SECRET": "hidden-1", "AZURE_API_VERSION": "v1"}).good
    assert version.hash != one.hash


def test_the_machine_of_azure_is_asked_when_the_document_says_so(build: Callable[..., Any]) -> None:
    text = entry("model: azure/mine, api_base: 'https://x'")
    found = only(build, text + "litellm_settings: {enable_azure_ad_token_refresh: true}\n")
    assert found.identity == AzureIdentity()


def test_clouds_are_not_served_unasked(build: Callable[..., Any]) -> None:
    environ = {"AZURE_API_KEY": "k", "AZURE_API_BASE": "https://x", "AWS_BEARER_TOKEN_BEDROCK": "b"}
    assert build("pointsman_settings: {discover_providers: true}\n", environ).good.deployments == ()


AWS = "aws_access_key_id: AK, aws_secret_access_key: s"
GOOGLE = "vertex_credentials: {project_id: p, type: service_account}"


@pytest.mark.requirement("routing.regions")
@pytest.mark.parametrize(
    ("text", "region"),
    [
        (f"model: bedrock/anthropic.x, aws_region_name: eu-west-1, {AWS}", "eu-west-1"),
        (f"model: bedrock/anthropic.x, region_name: eu-west-1, {AWS}", "eu-west-1"),
        (f"model: bedrock/anthropic.x, aws_region_name: us-east-1, region_name: eu-west-1, {AWS}", "us-east-1"),
        (f"model: bedrock/anthropic.x, {AWS}", "us-west-2"),
        (f"model: bedrock/global.anthropic.x, aws_region_name: eu-west-1, {AWS}", "global"),
        (f"model: 'bedrock/*', aws_region_name: eu-west-1, {AWS}", None),
        (f"model: 'bedrock/eu.*', aws_region_name: eu-west-1, {AWS}", "eu"),
        (f"model: 'bedrock/arn:aws:bedrock:eu-west-3:1:application-inference-profile/a', {AWS}", None),
        (f"model: vertex_ai/gemini-x, vertex_location: europe-west4, {GOOGLE}", "europe-west4"),
        (f"model: vertex_ai/gemini-x, {GOOGLE}", "us-central1"),
        (f"model: vertex_ai/gemini-x, vertex_location: global, {GOOGLE}", "global"),
        ("model: azure/x, api_base: 'https://x.openai.azure.com', api_key: k", None),
        ("model: azure/x, api_base: 'https://x.openai.azure.com', api_key: k, region_name: West Europe", "westeurope"),
        ("model: azure_ai/x, api_base: 'https://x.eastus2.models.ai.azure.com', api_key: k", "eastus2"),
        ("model: openai/x, api_key: k, region_name: EU", "eu"),
        ("model: openai/x, api_key: k, region_name: 'a/b'", None),
        ("model: openai/x, api_key: k", None),
    ],
)
def test_where_a_deployment_answers_is_told_by_its_cloud_or_by_the_operator(
    build: Callable[..., Any], text: str, region: str | None
) -> None:
    named = entry(text).replace("model_name: m,", "model_name: '*'," if "*" in text else "model_name: m,")
    assert only(build, named).region == region


@pytest.mark.requirement("routing.regions")
def test_what_the_operator_says_of_a_region_goes_first(build: Callable[..., Any]) -> None:
    text = f"model: 'bedrock/*', aws_region_name: us-east-1, {AWS}"
    stated = f"model_list: [{{model_name: '*', litellm_params: {{{text}}}, model_info: {{region: eu}}}}]\n"
    assert only(build, stated).region == "eu"
