"""An HTTP or HTTPS proxy on loopback before the real S3 server, which fails on cue.

Clients are told its address as the endpoint. A signature covers the Host header, so requests go
on byte for byte as they came. `FaultyProxy.on` says which of them meet a fault instead.
"""

import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>{}</Message></Error>"


@dataclass(frozen=True)
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Exchange:
    """One request on its way. `key` is the object's, or the prefix of a listing.

    A fault calls `forward` and `send` or does something else; one that does neither only delays
    the request.
    """

    method: str
    key: str
    _handler: "_Handler"
    _body: bytes
    answered: bool = False

    @property
    def is_conditional(self) -> bool:
        return "If-None-Match" in self._handler.headers

    def forward(self) -> Response:
        """What the server says. Raises OSError where it is down."""
        return self._handler.ask(self._body)

    def send(self, response: Response, promised: int | None = None) -> None:
        """promised: the Content-Length, where it is not that of the body."""
        self.answered = True
        self._handler.tell(response, promised)

    def reset(self) -> None:
        """End the connection as a host that has forgotten it does."""
        self.answered = True
        linger = struct.pack("ii", 1, 0)
        self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._handler.hang_up()


Fault = Callable[[Exchange], None]


def refuse(status: int, code: str) -> Fault:
    """Answer with a status and S3's XML for it; an empty code leaves the body empty."""

    def act(exchange: Exchange) -> None:
        body = ERROR.format(code, "Said by a test.").encode() if code else b""
        exchange.send(Response(status, [("Content-Type", "application/xml")], body))

    return act


def refuse_conditions(exchange: Exchange) -> None:
    """As a store does that has no conditional writes."""
    if exchange.is_conditional:
        refuse(501, "NotImplemented")(exchange)


def say(body: bytes, status: int = 200) -> Fault:
    """Answer with these bytes, whatever was asked."""
    return lambda exchange: exchange.send(Response(status, [("Content-Type", "text/html")], body))


def delay(seconds: float) -> Fault:
    return lambda exchange: time.sleep(seconds)


def reset(exchange: Exchange) -> None:
    exchange.reset()


def lose_answer(exchange: Exchange) -> None:
    """The server does what was asked, and nobody is told."""
    exchange.forward()
    exchange.reset()


def cut_off(exchange: Exchange) -> None:
    """Half of the body, and the end of the connection where the other half should come."""
    whole = exchange.forward()
    half = whole.body[: len(whole.body) // 2]
    exchange.send(Response(whole.status, whole.headers, half), promised=len(whole.body))


def shorten(exchange: Exchange) -> None:
    """Half of the body as if it were the whole, as a proxy does that lost its own source."""
    whole = exchange.forward()
    half = whole.body[: len(whole.body) // 2]
    exchange.send(Response(whole.status, whole.headers, half))


@dataclass
class Rule:
    """Which requests meet a fault; `met` counts those that did."""

    fault: Fault
    method: str
    pattern: re.Pattern[str]
    skip: int
    times: float
    each: bool
    met: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def takes(self, exchange: Exchange) -> bool:
        if exchange.method != self.method or not self.pattern.search(exchange.key):
            return False
        counted = exchange.key if self.each else ""
        number = self._seen.get(counted, 0)
        self._seen[counted] = number + 1
        taken = self.skip <= number < self.skip + self.times
        self.met += taken
        return taken


class FaultyProxy:
    """Passes requests on, but for those that a rule takes. `seen` are all, in order."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = urllib.parse.urlsplit(upstream)
        self.seen: list[tuple[str, str]] = []
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def on(
        self,
        method: str,
        key: str,
        fault: Fault,
        *,
        skip: int = 0,
        times: float = float("inf"),
        each: bool = False,
    ) -> Rule:
        """Let requests meet a fault: those of a method (LIST for listings) whose key (or listed
        prefix) the pattern is found in, after the first `skip` of them, `times` times in all;
        each: of every key for itself.
        """
        rule = Rule(fault, method, re.compile(key), skip, times, each)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """No faults from now on."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()

    def handle(self, exchange: Exchange) -> None:
        with self._lock:
            self.seen.append((exchange.method, exchange.key))
            faults = [rule.fault for rule in self._rules if rule.takes(exchange)]
        try:
            for fault in faults:
                if not exchange.answered:
                    fault(exchange)
            if not exchange.answered:
                exchange.send(exchange.forward())
        except (OSError, http.client.HTTPException):
            with contextlib.suppress(OSError):
                exchange.reset()

    @contextlib.contextmanager
    def running(self) -> Iterator["FaultyProxy"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is nothing to print a stack for."""


class _Server(QuietServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    proxy: FaultyProxy


class _Handler(BaseHTTPRequestHandler):
    """One client's connection, and a connection of its own to the server."""

    protocol_version = "HTTP/1.1"
    server: _Server
    _upstream: http.client.HTTPConnection | None = None

    def do_GET(self) -> None:
        split = urllib.parse.urlsplit(self.path)
        _, _, key = urllib.parse.unquote(split.path).removeprefix("/").partition("/")
        asked = urllib.parse.parse_qs(split.query)
        method = self.command
        if method == "GET" and "list-type" in asked:
            method, key = "LIST", asked.get("prefix", [""])[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.proxy.handle(Exchange(method, key, self, body))

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

    def ask(self, body: bytes) -> Response:
        if self._upstream is None:
            place = self.server.proxy.upstream
            self._upstream = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
        try:
            self._upstream.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                self._upstream.putheader(name, value)
            self._upstream.endheaders(body)
            answer = self._upstream.getresponse()
            return Response(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException):
            self._upstream.close()
            self._upstream = None
            raise

    def tell(self, response: Response, promised: int | None) -> None:
        self.send_response_only(response.status)
        length = str(len(response.body) if promised is None else promised)
        for name, value in response.headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        if promised is not None:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        if self._upstream is not None:
            self._upstream.close()
