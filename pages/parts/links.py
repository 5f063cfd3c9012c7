"""Addresses of this dashboard that others can reach too."""

from urllib.parse import urlsplit

import streamlit as st

from data_access.settings import public_url

UNSET = "localhost"  # Streamlit's browser.serverAddress, where nobody has set one


def shared(seen: str) -> str:
    """A page's address as others reach it: at MISREAD_URL, or at Streamlit's browser.serverAddress;
    where neither is set, as the browser has it.
    """
    base = public_url() or _configured()
    if not base:
        return seen
    path = urlsplit(seen).path.strip("/")
    return f"{base}/{path.removeprefix(_base_path()).strip('/')}"


def _configured() -> str:
    """The address in Streamlit's own settings, without a slash at its end; empty where unset."""
    host = st.get_option("browser.serverAddress")
    if not host or host == UNSET:
        return ""
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    port = st.get_option("browser.serverPort")
    at_port = "" if port in (80, 443) else f":{port}"
    return f"{scheme}://{host}{at_port}/{_base_path()}".rstrip("/")


def _base_path() -> str:
    return str(st.get_option("server.baseUrlPath") or "").strip("/")
