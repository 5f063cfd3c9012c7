"""Stores, networks, folders and terminals as companies have them."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_access.api import open_log, open_writer
from data_access.embedded import EmbeddedServer
from data_access.errors import LogError, SettingsError, WarehouseError
from data_access.ingest.sync import sync
from data_access.log import Log
from data_access.projections import load_projections
from data_access.settings import LaunchSettings
from data_access.warehouse import Warehouse
from data_access.writer import Writer
from tests.conftest import OpenWarehouse
from tests.faulty_proxy import FaultyProxy, refuse, refuse_conditions, say
from tests.samples import ROOT, picture, prediction, write, write_picture
from tests.test_writer import event


@pytest.fixture
def proxy(s3_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Logs opened during the test reach the server through this."""
    with FaultyProxy(s3_server.endpoint).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder of the user's own, while root, where the tests run as root, is nobody."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_conflict_is_not_taken_for_an_object_that_is_there(
    proxy: FaultyProxy, log_uri: str, tmp_path: Path, code: str
) -> None:
    rule = proxy.on("PUT", "predictions/", refuse(409, code))
    with Writer(Log.open(log_uri), tmp_path) as writer:
        writer.write_prediction(event("a"))
        assert rule.met
        assert writer.waiting == 1
        with pytest.raises(LogError, match=f"another request is changing it.*{code}"):
            writer.flush()
        proxy.heal()
        assert writer.flush() == 1
    assert len(Log.open(log_uri).list("predictions/")) == 1


def test_a_conflict_that_passes_is_tried_again_at_once(proxy: FaultyProxy, log_uri: str) -> None:
    proxy.on("PUT", "a", refuse(409, "ConditionalRequestConflict"), times=1)
    assert Log.open(log_uri).put("a", b"1")


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "renew"),
        (400, "InvalidToken", "renew"),
        (400, "RequestTimeout", "RequestTimeout"),
        (400, "KMS.DisabledException", "KMS key"),
        (403, "InvalidObjectState", "restore it"),
        (400, "", "error 400"),
    ],
)
def test_an_image_that_a_store_refuses_is_measured_by_the_next_sync(
    proxy: FaultyProxy,
    log_uri: str,
    open_warehouse: OpenWarehouse,
    status: int,
    code: str,
    advice: str,
) -> None:
    log = Log.open(log_uri)
    write(log, "predictions/1.json", prediction("a", inputs__image=write_picture(log, picture(1))))
    warehouse = open_warehouse(log)
    proxy.on("GET", "images/", refuse(status, code))
    (sentence,) = sync(log, warehouse).failures
    assert advice in sentence
    assert code in sentence
    proxy.heal()
    report = sync(log, warehouse)
    assert not report.failures
    assert report.scored_images == 1


def test_a_request_that_nothing_can_mend_is_final(proxy: FaultyProxy, log_uri: str) -> None:
    proxy.on("GET", "images/", refuse(400, "KeyTooLongError"))
    with pytest.raises(LogError) as failure:
        Log.open(log_uri).image("images/1.png")
    assert not failure.value.retryable


@pytest.fixture
def settings_of_the_log(
    log_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """What an application's environment says; more can be set."""
    monkeypatch.setenv("MISREAD_LOG", log_uri)
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path / "spool"))
    return monkeypatch


def test_a_store_without_conditional_writes_is_named_once_and_loses_nothing(
    proxy: FaultyProxy, settings_of_the_log: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.on("PUT", "", refuse_conditions)
    with open_writer(seconds=0.02) as writer:
        for number in range(3):
            writer.write_prediction(event(f"{number}"))
        time.sleep(0.3)
    assert writer.waiting == 3
    (warning,) = caplog.messages
    assert "does not support conditional writes; set MISREAD_CONDITIONAL_WRITES=0" in warning

    settings_of_the_log.setenv("MISREAD_CONDITIONAL_WRITES", "0")
    with open_writer() as writer:
        writer.write_prediction(event("3"))
        writer.write_prediction(event("0", output_text="another"))
    assert writer.waiting == 0
    log = open_log()
    names = [row.key.rpartition("/")[2] for row in log.list("predictions/")]
    assert sorted(names) == ["0.json", "1.json", "2.json", "3.json"]
    assert b"another" not in log.get("predictions/date=2026-07-06/0.json")
    assert not log.put("predictions/date=2026-07-06/0.json", b"{}")


def test_a_part_of_a_folder_that_cannot_be_listed_is_told_and_not_forgotten() -> None:
    with without_privileges() as folder:
        log = Log.open(str(folder))
        write(log, "predictions/good/1.json", prediction("a"))
        write(log, "predictions/bad/2.json", prediction("b"))
        warehouse = Warehouse.open(folder / "w.duckdb", log.uri, load_projections())
        try:
            assert not sync(log, warehouse).failures
            (folder / "predictions/bad").chmod(0)
            write(log, "predictions/good/3.json", prediction("c"))
            (sentence,) = sync(log, warehouse).failures
            keys = {key for (key,) in warehouse.rows("select record_key from records")}
            (folder / "predictions/bad").chmod(0o755)
        finally:
            warehouse.close()
        assert sentence == f"{folder / 'predictions/bad'} cannot be listed: Permission denied."
        assert keys == {"a", "b", "c"}


def test_links_that_loop_are_told_and_the_rest_is_listed(
    folder_log: Log, open_warehouse: OpenWarehouse
) -> None:
    write(folder_log, "predictions/day/1.json", prediction("a"))
    (Path(folder_log.uri) / "predictions/day/loop").symlink_to("..")
    warehouse = open_warehouse(folder_log)
    (sentence,) = sync(folder_log, warehouse).failures
    assert sentence.endswith("loop cannot be listed: it is a link to a folder that it lies in.")
    assert warehouse.rows("select record_key from records") == [("a",)]


def test_a_folder_that_may_not_be_written_is_told() -> None:
    with without_privileges() as folder:
        folder.chmod(0o555)
        with pytest.raises(LogError, match="cannot be written: permission denied"):
            Log.open(str(folder)).put("predictions/1.json", b"{}")
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(folder / "w.duckdb", "/log", load_projections())
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(folder / "new" / "w.duckdb", "/log", load_projections())


def test_a_warehouse_of_somebody_else_is_left_alone() -> None:
    with without_privileges() as folder:
        file = folder / "w.duckdb"
        Warehouse.open(file, "/log", load_projections()).close()
        log_ahead = folder / "w.duckdb.wal"
        log_ahead.write_bytes(b"")
        file.chmod(0o444)
        names = sorted(path.name for path in folder.iterdir())
        with pytest.raises(WarehouseError, match="MISREAD_WAREHOUSE"):
            Warehouse.open(file, "/log", load_projections())
        assert sorted(path.name for path in folder.iterdir()) == names


def test_loopback_needs_no_entry_in_no_proxy(log_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "intranet.example")
    log = Log.open(log_uri)
    assert log.put("a", b"1")
    assert log.list("")
    assert os.environ["NO_PROXY"].split(",")[0] == "intranet.example"


@dataclass(frozen=True)
class Certificates:
    """A private certificate authority, and what it has signed for 127.0.0.1."""

    authority: Path
    server: Path
    expired: Path
    key: Path

    def tls(self, certificate: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, self.key)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine to sign a certificate with")
    folder = tmp_path_factory.mktemp("certificates")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    key = ["-newkey", "rsa:2048", "-nodes"]
    sign = [
        "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "names",
    ]  # fmt: skip
    for command in (
        ["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Example Corp"],
        ["req", *key, "-keyout", "server.key", "-out", "request", "-subj", "/CN=store"],
        [*sign, "-out", "server.pem"],
        [*sign, "-out", "expired.pem", "-days", "-1"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return Certificates(
        folder / "ca.pem", folder / "server.pem", folder / "expired.pem", folder / "server.key"
    )


@pytest.fixture
def tls_proxy(
    s3_server: EmbeddedServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    """The S3 server behind TLS, with a certificate of the private authority."""
    context = certificates.tls(certificates.server)
    with FaultyProxy(s3_server.endpoint, context).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.endpoint)
        yield running


def trust_by_variable(bundle: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_CA_BUNDLE", str(bundle))


def trust_by_profile(bundle: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "config").write_text(f"[profile work]\nca_bundle = {bundle}\n")
    patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    patch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        key = os.environ[name]
        with (folder / "config").open("a") as file:
            file.write(f"{name.lower()} = {key}\n")
        patch.delenv(name)


Trust = Callable[[Path, Path, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("trust", [trust_by_variable, trust_by_profile])
def test_a_store_with_a_certificate_of_a_private_authority_is_read_and_written(
    tls_proxy: FaultyProxy,
    certificates: Certificates,
    log_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_warehouse: OpenWarehouse,
    trust: Trust,
) -> None:
    bundle = tmp_path / "bundle.pem"  # a bundle has the certificates of others, too
    bundle.write_bytes(certificates.server.read_bytes() + certificates.authority.read_bytes())
    trust(bundle, tmp_path, monkeypatch)
    log = Log.open(log_uri)
    image = write_picture(log, picture(1))
    write(log, "predictions/1.json", prediction("a", inputs__image=image))
    report = sync(log, open_warehouse(log))
    assert (report.predictions, report.scored_images, report.failures) == (1, 1, {})
    assert [row.key for row in log._list_bucket("predictions/")] == ["predictions/1.json"]  # boto3
    assert tls_proxy.seen


@pytest.mark.parametrize(
    "access",
    [
        lambda log: log.list(""),
        lambda log: list(log._list_any("", None)),
        lambda log: log.put("a", b""),
        lambda log: log.image("images/1.png"),
    ],
)
def test_a_certificate_that_nobody_vouches_for_is_named_with_what_to_do(
    tls_proxy: FaultyProxy, log_uri: str, access: Callable[[Log], object]
) -> None:
    with pytest.raises(LogError, match="is not trusted: set AWS_CA_BUNDLE to") as failure:
        access(Log.open(log_uri))
    assert not failure.value.transient
    assert not tls_proxy.seen


def test_a_certificate_for_another_host_is_named(
    tls_proxy: FaultyProxy,
    certificates: Certificates,
    log_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", tls_proxy.endpoint.replace("127.0.0.1", "localhost"))
    log = Log.open(log_uri)
    with pytest.raises(LogError, match="is for another host name"):
        log.list("")
    with pytest.raises(LogError, match="is for another host name"):
        log._list_any("", None)


def test_an_expired_certificate_is_named(
    s3_server: EmbeddedServer,
    certificates: Certificates,
    log_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
    context = certificates.tls(certificates.expired)
    with FaultyProxy(s3_server.endpoint, context).running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        log = Log.open(log_uri)
        for access in (log.list, lambda folder: list(log._list_any(folder, None))):
            with pytest.raises(LogError, match="has expired or is not valid yet"):
                access("")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(None, "No such file or directory"), (b"\xff\0", "no PEM certificate is in it")],
)
def test_a_bundle_that_is_none_is_told(
    tls_proxy: FaultyProxy,
    log_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes | None,
    reason: str,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if body is not None:
        bundle.write_bytes(body)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    with pytest.raises(LogError) as failure:
        Log.open(log_uri)
    assert str(failure.value) == (
        f"The CA bundle {bundle} (AWS_CA_BUNDLE, or ca_bundle of the profile) cannot be used: "
        f"{reason}."
    )


SSO_PROFILES = """
[profile session]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Reader
region = eu-central-1
[sso-session corp]
sso_region = eu-central-1
sso_start_url = https://example.com/start
[profile legacy]
sso_start_url = https://example.com/start
sso_region = eu-central-1
sso_account_id = 123456789012
sso_role_name = Reader
region = eu-central-1
"""
START_URL = "https://example.com/start"


@pytest.mark.parametrize("profile", ["session", "legacy"])
@pytest.mark.parametrize("expires", [None, "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_an_sso_session_that_has_ended_names_the_command_that_starts_one(
    log_uri: str,
    s3_server: EmbeddedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: str,
    expires: str | None,
) -> None:
    """No token, an expired one, and one that the SSO service (a stand-in for it) refuses."""
    (tmp_path / "config").write_text(SSO_PROFILES)
    if expires is not None:
        token = {"startUrl": START_URL, "region": "eu-central-1", "accessToken": "token"}
        for source in ("corp", START_URL):
            name = hashlib.sha1(source.encode()).hexdigest()
            (tmp_path / f"{name}.json").write_text(json.dumps(token | {"expiresAt": expires}))
    for provider in ("credentials.SSOProvider", "tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"botocore.{provider}._SSO_TOKEN_CACHE_DIR", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", profile)
    with FaultyProxy(s3_server.endpoint).running() as sso:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", sso.endpoint)
        rule = sso.on("GET", "", say(b'{"__type": "UnauthorizedException"}', status=401))
        with pytest.raises(LogError) as failure:
            Log.open(log_uri).list("")
    assert bool(rule.met) == (expires is not None and expires > "2030")
    assert str(failure.value) == (
        f"There is no valid AWS SSO session for {log_uri}: run `aws sso login --profile {profile}`."
    )


def test_a_profile_that_is_not_there_is_named_with_what_to_do(
    log_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(LogError) as failure:
        Log.open(log_uri)
    assert str(failure.value) == (
        "There is no AWS profile nobody: correct AWS_PROFILE, or create it with "
        "`aws configure sso --profile nobody`."
    )


def test_a_writer_without_credentials_is_one_sentence_in_a_notebook_too(
    log_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MISREAD_SPOOL", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(LogError) as failure:
        open_writer(log_uri)
    sentence = (
        f"No AWS credentials for {log_uri}: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY (Unable to locate credentials)."
    )
    assert str(failure.value) == sentence
    assert failure.value._render_traceback_() == [f"LogError: {sentence}"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_is_told(value: str) -> None:
    with pytest.raises(SettingsError, match=f"MISREAD_PORT={value}"):
        LaunchSettings.from_environment({"MISREAD_PORT": value})


def test_a_terminal_that_is_not_utf_8_gets_escapes(tmp_path: Path) -> None:
    missing = tmp_path / "größe"
    done = subprocess.run(
        [sys.executable, "-m", "data_access", "sync", "--log", str(missing)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"gr\\xf6" in done.stderr
