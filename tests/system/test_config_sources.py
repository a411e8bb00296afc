"""Configs and checkpoints in buckets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httptools
import msgspec
import numpy as np
import pytest
from system.fakes.buckets import ACCESS_KEY, S3, SECRET_KEY, FakeBucket
from system.process import DEADLINE, Gateway, pointsman
from unit.ml.checkpoints import ABOUT, PARTS

from pointsman.config.sources.base import Address, SourceDown
from pointsman.config.sources.checkpoints import CheckpointFetch
from pointsman.config.sources.objects import ObjectSource
from pointsman.config.sources.stores import Bucket
from pointsman.ml.base import Table
from pointsman.ml.checkpoint import Packed, pack
from pointsman.ml.files import MANIFEST, TENSORS
from pointsman.ml.training.fit import train
from pointsman.routing.settings import RoutedSettings
from pointsman.store.buckets import BucketKind

KEY = "prod/config.yaml"
MASTER = "sk-master-canary-41f0"
MAIN = f"""
include: [parts/models.yaml]
general_settings: {{master_key: {MASTER}}}
""".encode()
MODELS = b"model_list: [{model_name: house, litellm_params: {model: demo/small}}]\n"
OTHER = b"model_list: [{model_name: other, litellm_params: {model: demo/small}}]\n"
ROUTED = """
model_list:
  - model_name: auto
    litellm_params:
      {{model: router/knn, candidates: [house], reload_interval: 0.2,
       model_s3_bucket: {bucket}, model_s3_key: models/knn}}
"""


@pytest.fixture
def s3() -> Iterator[S3]:
    with S3() as server:
        server.put(KEY, MAIN)
        server.put("prod/parts/models.yaml", MODELS)
        yield server


def variables(s3: S3) -> dict[str, str]:
    return s3.environ | {"CONFIG_S3_BUCKET": s3.bucket, "CONFIG_S3_KEY": KEY}


def models(gateway: Gateway) -> list[str]:
    listed = gateway.get("/v1/models", {"Authorization": f"Bearer {MASTER}"})
    assert listed.status == 200, listed
    return [one["id"] for one in listed.json["data"]]


# Objects


@pytest.mark.requirement("config.source.objects", "config.source.unchanged")
async def test_s3_gives_documents_and_answers_304_to_their_etags(s3: S3) -> None:
    source = ObjectSource(Address("s3", s3.bucket, KEY), Bucket("s3", s3.bucket, s3.environ), {})
    first = await source.fetch(None)
    assert first is not None
    assert list(first.documents.values()) == [MAIN, MODELS]
    assert await source.fetch(first.version) is None
    assert (source.counts.requests, source.counts.unchanged, source.counts.failures) == (4, 2, 0)
    s3.put("prod/parts/models.yaml", OTHER)
    second = await source.fetch(first.version)
    assert second is not None
    assert list(second.documents.values()) == [MAIN, OTHER]
    assert (source.counts.requests, source.counts.unchanged) == (6, 3)


@pytest.mark.requirement("config.source.objects")
async def test_an_object_or_a_bucket_that_is_not_there_is_said(s3: S3) -> None:
    for bucket, key in ((s3.bucket, "absent.yaml"), ("no-such-bucket", KEY)):
        with pytest.raises(SourceDown, match=f"there is no s3://{bucket}/{key}") as caught:
            await Bucket("s3", bucket, s3.environ).get(key, None, 100)
        assert caught.value.is_absent


def google(fake: FakeBucket) -> dict[str, str]:
    return {"STORAGE_EMULATOR_HOST": fake.url}


def azure(fake: FakeBucket) -> dict[str, str]:
    return {
        "AZURE_STORAGE_ENDPOINT": fake.url,
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0",
    }


def amazon(fake: FakeBucket) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": fake.url, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


ENVIRONS: dict[BucketKind, Any] = {"s3": amazon, "gcs": google, "azure": azure}


@pytest.mark.requirement("config.source.objects", "config.source.unchanged")
@pytest.mark.parametrize("kind", ENVIRONS)
async def test_each_cloud_gives_documents_and_304s(kind: BucketKind) -> None:
    with FakeBucket({f"b/{KEY}": MAIN, "b/prod/parts/models.yaml": MODELS}) as fake:
        source = ObjectSource(Address(kind, "b", KEY), Bucket(kind, "b", ENVIRONS[kind](fake)), {})
        first = await source.fetch(None)
        assert first is not None
        assert (first.kind, list(first.documents.values())) == (kind, [MAIN, MODELS])
        assert await source.fetch(first.version) is None
        fake.objects[f"b/{KEY}"] = MAIN + b"# changed"
        assert await source.fetch(first.version) is not None
    assert fake.answers == [200, 200, 304, 304, 200, 304]
    assert source.counts.unchanged == 3


@pytest.mark.requirement("config.source.deadlines")
@pytest.mark.parametrize("kind", ENVIRONS)
@pytest.mark.parametrize(("status", "said"), [(403, "it answered 403"), (500, "it answered 500")])
async def test_a_refusal_tells_its_status_and_nothing_of_the_answer(kind: BucketKind, status: int, said: str) -> None:
    with FakeBucket({}) as fake:
        fake.status = status
        with pytest.raises(SourceDown, match=said) as caught:
            await Bucket(kind, "b", ENVIRONS[kind](fake), seconds=2.0).get(KEY, None, 100)
    for secret in ("secret", ACCESS_KEY, SECRET_KEY, fake.url):
        assert secret not in str(caught.value)
    assert not caught.value.is_absent


@pytest.mark.requirement("config.source.deadlines")
@pytest.mark.parametrize("kind", ENVIRONS)
async def test_a_bucket_that_never_answers_is_given_up(kind: BucketKind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, FakeBucket({}) as fake:
        fake.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        bucket = Bucket(kind, "b", ENVIRONS[kind](fake), seconds=0.2)
        async with asyncio.timeout(20):
            with pytest.raises(SourceDown):
                await bucket.get(KEY, None, 100)
    assert bucket.counts.failures == 1


@pytest.mark.requirement("config.source.deadlines")
async def test_no_more_of_an_object_is_read_than_may_be() -> None:
    with FakeBucket({"b/big": b"x" * 1_000_000}) as fake:
        got = await Bucket("gcs", "b", google(fake)).get("big", None, 1000)
    assert got is not None
    assert len(got.data) == 1001


@pytest.mark.requirement("config.source.credentials")
async def test_a_bucket_of_s3_is_called_with_the_keys_of_a_profile(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[team]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\naws_session_token = t\n"
    )
    with FakeBucket({"b/k": b"a"}) as fake:
        environ = {
            "AWS_ENDPOINT_URL": fake.url,
            "HOME": str(tmp_path),
            "AWS_PROFILE": "team",
            "AWS_REGION": "eu-west-1",
        }
        await Bucket("s3", "b", environ).get("k", None, 10)
    (head,) = fake.heads
    assert f"Credential={ACCESS_KEY}/" in head["authorization"]
    assert "/eu-west-1/s3/aws4_request" in head["authorization"]
    assert head["x-amz-security-token"] == "t"


@pytest.mark.requirement("config.source.credentials")
async def test_a_container_of_azure_is_called_with_the_accounts_key() -> None:
    with FakeBucket({"b/k": b"a"}) as fake:
        await Bucket("azure", "b", azure(fake)).get("k", None, 10)
    (head,) = fake.heads
    assert head["authorization"].startswith("SharedKey account:")


class MetadataServer(asyncio.Protocol):
    """What gives an instance of EC2 its keys."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""

    def on_url(self, url: bytes) -> None:
        self._path = url

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        body = {
            b"/latest/api/token": b"token",
            b"/latest/meta-data/iam/security-credentials/": b"role",
        }.get(
            self._path,
            b'{"Code": "Success", "AccessKeyId": "AKIAOFINSTANCE", "SecretAccessKey": "s", "Token": "t",'
            b' "Expiration": "2099-01-01T00:00:00Z"}',
        )
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.requirement("config.source.credentials")
async def test_a_bucket_of_s3_is_called_with_the_keys_of_the_machine(tmp_path: Path) -> None:
    server = await asyncio.get_running_loop().create_server(MetadataServer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with FakeBucket({"b/k": b"a"}) as fake:
            environ = {"AWS_ENDPOINT_URL": fake.url, "HOME": str(tmp_path)}
            await Bucket("s3", "b", environ | {"AWS_EC2_METADATA_SERVICE_ENDPOINT": address}).get("k", None, 10)
    finally:
        server.close()
    assert "Credential=AKIAOFINSTANCE/" in fake.heads[0]["authorization"]


@pytest.mark.requirement("config.source.checkpoints")
async def test_a_checkpoint_is_fetched_from_s3(s3: S3, tmp_path: Path) -> None:
    packed = pack(ABOUT, PARTS)
    s3.put(f"models/knn/{MANIFEST}", packed.manifest)
    s3.put(f"models/knn/{TENSORS}", packed.tensors)
    where = str(tmp_path / "checkpoints" / "knn")
    settings = RoutedSettings(name="auto", origin=f"s3://{s3.bucket}/models/knn", checkpoint=where)
    fetching = CheckpointFetch(settings, s3.environ)
    assert await fetching.fetch()
    assert (Path(where) / TENSORS).read_bytes() == packed.tensors
    assert not await fetching.fetch()
    assert (fetching.counts.requests, fetching.counts.unchanged) == (4, 2)


# Processes


def trained(seed: int) -> Packed:
    """A checkpoint that knows the model that is served."""
    prompts = [f"question {i}" for i in range(40)]
    quality = np.random.default_rng(seed).integers(0, 2, (40, 2)).astype(np.float32)
    table = Table(
        prompts=prompts, models=("house", "gone"), quality=quality, cost_usd=np.full((40, 2), 0.01, np.float32)
    )
    made = train(table, "knn", resamples=0)
    return made.packed(made.about(created="2026-01-01T00:00:00Z", sources=()))


def eventually(what: Callable[[], object], wanted: object) -> None:
    """Wait for the product, which looks again of its own accord."""
    until = time.monotonic() + DEADLINE
    while (found := what()) != wanted:
        assert time.monotonic() < until, found
        time.sleep(0.05)


def status(gateway: Gateway) -> Any:
    return gateway.get("/config/sync/status", {"Authorization": f"Bearer {MASTER}"}).json


@pytest.mark.requirement("config.source.objects", "config.source.unchanged")
def test_a_change_in_a_bucket_is_taken_up_and_one_that_is_broken_is_not(s3: S3, tmp_path: Path) -> None:
    with Gateway(tmp_path, None, env=variables(s3) | {"CONFIG_SYNC_INTERVAL": "1"}) as gateway:
        s3.put("prod/parts/models.yaml", OTHER)
        eventually(lambda: models(gateway), ["other"])
        s3.put("prod/parts/models.yaml", b"model_list: 3\n")
        eventually(lambda: status(gateway)["last_error"] is not None, wanted=True)
        assert f"s3://{s3.bucket}/prod/parts/models.yaml:1:13: " in str(status(gateway)["last_error"])
        assert models(gateway) == ["other"]
        s3.put("prod/parts/models.yaml", MODELS)
        eventually(lambda: models(gateway), ["house"])
        before = status(gateway)["source_unchanged"]
        eventually(lambda: status(gateway)["source_unchanged"] > before, wanted=True)


@pytest.mark.requirement("config.kept.rollback")
def test_going_back_holds_over_a_restart_until_the_source_changes(tmp_path: Path) -> None:
    first, second, third = (
        f"general_settings: {{master_key: {MASTER}}}\n{text.decode()}" for text in (MODELS, OTHER, OTHER)
    )
    third += "# once more\n"
    with Gateway(tmp_path, first) as gateway:
        (tmp_path / "config.yaml").write_text(second)
        eventually(lambda: models(gateway), ["other"])
        url = f"http://{gateway.host}:{gateway.port}"
        done = pointsman(tmp_path, "rollback", "--url", url, env={"POINTSMAN_MASTER_KEY": MASTER})
        assert done.returncode == 0, done.stderr
        assert "in force until its source changes" in done.stdout
        assert models(gateway) == ["house"]
    with Gateway(tmp_path, second) as gateway:
        assert models(gateway) == ["house"]
        (tmp_path / "config.yaml").write_text(third)
        eventually(lambda: models(gateway), ["other"])
    with Gateway(tmp_path, third) as gateway:
        assert models(gateway) == ["other"]


@pytest.mark.requirement("config.source.checkpoints")
def test_a_routed_model_is_served_by_a_checkpoint_that_comes_from_a_bucket(s3: S3, tmp_path: Path) -> None:
    document = MAIN + ROUTED.format(bucket=s3.bucket).encode()
    s3.put(KEY, document)

    def checkpoint(gateway: Gateway) -> Any:
        found = gateway.get("/router/info?model=auto", {"Authorization": f"Bearer {MASTER}"})
        return found.json["routed_models"][0]["checkpoint"].get("id")

    with Gateway(tmp_path, None, env=variables(s3)) as gateway:
        assert checkpoint(gateway) is None
        for seed in (1, 2):
            packed = trained(seed)
            s3.put(f"models/knn/{TENSORS}", packed.tensors)
            s3.put(f"models/knn/{MANIFEST}", packed.manifest)
            eventually(lambda: checkpoint(gateway), msgspec.json.decode(packed.manifest)["id"])


@pytest.mark.requirement("config.source.objects", "config.source.variables")
def test_a_gateway_is_started_from_a_bucket(s3: S3, tmp_path: Path) -> None:
    with Gateway(tmp_path, None, env=variables(s3)) as gateway:
        assert models(gateway) == ["house"]
    assert f"The config comes from s3://{s3.bucket}/{KEY}" in gateway.stderr
    assert SECRET_KEY not in gateway.stderr + gateway.stdout


@pytest.mark.requirement("config.source.variables")
def test_a_gateway_is_started_from_the_bucket_that_litellm_names(s3: S3, tmp_path: Path) -> None:
    names = {"LITELLM_CONFIG_BUCKET_NAME": s3.bucket, "LITELLM_CONFIG_BUCKET_OBJECT_KEY": KEY}
    with Gateway(tmp_path, None, env=s3.environ | names) as gateway:
        assert models(gateway) == ["house"]


@pytest.mark.requirement("config.kept.cold-start")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_gateway_starts_without_its_bucket_from_what_was_last_good(s3: S3, tmp_path: Path, workers: str) -> None:
    with Gateway(tmp_path, None, env=variables(s3)) as gateway:
        assert models(gateway) == ["house"]
    s3.stop()
    with Gateway(tmp_path, None, "--workers", workers, env=variables(s3)) as gateway:
        assert models(gateway) == ["house"]
    assert "serving what was in force before" in gateway.stderr


@pytest.mark.requirement("config.kept.cold-start")
def test_a_gateway_starts_beside_a_broken_document_from_what_was_last_good(s3: S3, tmp_path: Path) -> None:
    with Gateway(tmp_path, None, env=variables(s3)) as gateway:
        assert models(gateway) == ["house"]
    s3.put("prod/parts/models.yaml", b"model_list: 3\n")
    with Gateway(tmp_path, None, env=variables(s3)) as gateway:
        assert models(gateway) == ["house"]
    assert f"s3://{s3.bucket}/prod/parts/models.yaml:1:13: error: model_list: must be" in gateway.stderr


@pytest.mark.requirement("config.kept.cold-start")
def test_without_anything_kept_a_bucket_that_is_down_is_said_in_one_line(s3: S3, tmp_path: Path) -> None:
    s3.stop()
    done = pointsman(tmp_path, "serve", "--port", "0", env=variables(s3))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: cannot fetch s3://{s3.bucket}/{KEY}: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.requirement("config.source.variables")
def test_half_a_bucket_is_said_in_one_line(tmp_path: Path) -> None:
    done = pointsman(tmp_path, "serve", "--port", "0", env={"CONFIG_S3_BUCKET": "b"})
    assert (done.returncode, done.stderr) == (
        1,
        "Error: CONFIG_S3_BUCKET and CONFIG_S3_KEY are needed both, and only one of them is set\n",
    )


@pytest.mark.requirement("config.diff")
def test_a_file_is_compared_with_what_is_in_a_bucket(s3: S3, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_bytes(b"general_settings: {master_key: sk-new}\n" + MODELS)
    done = pointsman(tmp_path, "diff", f"s3://{s3.bucket}/{KEY}", "new.yaml", env=s3.environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "~ access.master_key\n", "1 change\n")
