"""Opening object stores: boto3 resolves sessions, profiles, endpoints and credentials; obstore
moves the bytes.
"""

import ipaddress
import os
import re
import urllib.parse
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import botocore.session
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import LocalStore, S3Store

from data_access.errors import LogError
from data_access.log.store_errors import credentials_failure

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def open_store(uri: str) -> Any:
    """The store of `s3://bucket/prefix` or of a folder; nothing is fetched yet.

    Raises LogError where the folder does not exist or there are no credentials.
    """
    if not uri.startswith("s3://"):
        folder = Path(uri)
        if not folder.is_dir():
            raise LogError(f"There is no folder {folder}.")
        return LocalStore(folder)
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if {".", ".."} & set(prefix.split("/")):
        raise LogError(f"{uri} is no place in a bucket: use s3://bucket/prefix.")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
        raise LogError(f"{uri} names no bucket: use s3://bucket/prefix.")
    try:
        core = botocore.session.get_session()
        session = boto3.Session(botocore_session=core)
        client = session.client("s3", region_name=session.region_name or "us-east-1")
        if session.get_credentials() is None:
            raise botocore.exceptions.NoCredentialsError
        credentials = Boto3CredentialProvider(session)
        ca_bundle = core.get_config_variable("ca_bundle")
    except botocore.exceptions.BotoCoreError as error:
        raise credentials_failure(uri, error) from error
    except ValueError as error:
        raise LogError(f"{uri} cannot be opened: {error}.") from error
    endpoint, region = client.meta.endpoint_url, client.meta.region_name
    if is_loopback(endpoint):
        bypass_proxies_on_loopback()
    is_tls = endpoint.startswith("https://")
    usual = endpoint in ("https://s3.amazonaws.com", f"https://s3.{region}.amazonaws.com")
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=region,
        **({} if usual else {"endpoint": endpoint}),
        virtual_hosted_style_request=usual and "." not in bucket,
        credential_provider=credentials,
        client_options={
            "allow_http": not is_tls,
            "connect_timeout": "5s",
            "timeout": "60s",
            **({"root_certificate": _certificates(ca_bundle)} if is_tls and ca_bundle else {}),
        },
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=20)},
    )


def _certificates(path: str) -> bytes:
    """PEM certificates. Raises LogError where a file cannot be read or holds none."""
    try:
        bundle = Path(path).expanduser().read_bytes()
        reason = "" if b"-----BEGIN CERTIFICATE-----" in bundle else "no PEM certificate is in it"
    except OSError as error:
        reason = f"{error.strerror}"
    if reason:
        raise LogError(
            f"The CA bundle {path} (AWS_CA_BUNDLE, or ca_bundle of the profile) cannot be used: "
            f"{reason}."
        )
    return bundle


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bypass_proxies_on_loopback() -> None:
    """Where this process has a proxy set, add this machine's own addresses to NO_PROXY.

    The clients read these variables by themselves, those of child processes too.
    """
    if not urllib.request.getproxies_environment():
        return
    names = ("NO_PROXY", "no_proxy")
    hosts = [host.strip() for name in names for host in os.environ.get(name, "").split(",")]
    if "*" in hosts:
        return
    excluded = ",".join(dict.fromkeys([*filter(None, hosts), *LOOPBACK]))
    os.environ.update(dict.fromkeys(names, excluded))
