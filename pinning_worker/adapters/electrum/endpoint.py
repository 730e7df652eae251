"""The address of an Electrum server, as people write it, and the byte stream to it.

    tcp://host[:50001]    ssl://host[:50002]    ws://host[:50003][/path]    wss://host[:50004][/path]

TLS (ssl, wss) verifies the certificate against the system's authorities, host name included. Most Electrum servers sign
their own; for those, name the certificate:

    ssl://host:50002?cert=sha256:<64 hex digits>   exactly this one (SHA-256 of the DER; colons between bytes allowed)
    ssl://host:50002?ca=/etc/ssl/my-ca.pem         one that these authorities signed (may be the certificate itself)

`openssl s_client -connect host:50002 </dev/null | openssl x509 -noout -fingerprint -sha256` prints the fingerprint. TLS
without verification is not supported, and nobody needs it: the worker believes only proofs, so a forged server can do
no more than withhold answers. Use `tcp` where that is good enough.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from typing import NoReturn, cast
from urllib.parse import parse_qsl, urlsplit

import trio

DEFAULT_PORTS = {"tcp": 50001, "ssl": 50002, "ws": 50003, "wss": 50004}

_TLS, _WEBSOCKET = ("ssl", "wss"), ("ws", "wss")


class BadServerUrl(ValueError):
    """The text is not the address of an Electrum server; the message says why."""


class WrongCertificate(Exception):
    """The server showed another certificate than the pinned one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how to reach it. `url` is the text as configured; logs name the server by it."""

    url: str
    scheme: str
    host: str
    port: int
    path: str = "/"
    certificate: bytes | None = None  # SHA-256 of the DER that the server must present
    ca_file: str | None = None

    @property
    def is_tls(self) -> bool:
        return self.scheme in _TLS

    @property
    def is_websocket(self) -> bool:
        return self.scheme in _WEBSOCKET


def parse_server_url(url: str) -> Endpoint:
    """Raises BadServerUrl."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        (host or "").encode("idna")  # as the resolver does: raises UnicodeError, a ValueError
    except ValueError as error:
        _refuse(url, str(error))
    if scheme not in DEFAULT_PORTS:
        _refuse(url, f"begin it with one of {', '.join(f'{known}://' for known in DEFAULT_PORTS)}")
    if not host:
        _refuse(url, "the host is missing")
    if parts.username or parts.password or parts.fragment:
        _refuse(url, "only host, port, path, ?cert= and ?ca= mean anything here")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    certificate, ca_file = options.pop("cert", None), options.pop("ca", None)
    if options or (certificate and ca_file) or (scheme not in _TLS and (certificate or ca_file)):
        _refuse(url, "after the question mark either cert=sha256:… or ca=FILE, with ssl and wss")
    if scheme not in _WEBSOCKET and parts.path not in ("", "/"):
        _refuse(url, "only ws and wss have a path")
    fingerprint = _parse_fingerprint(url, certificate) if certificate is not None else None
    return Endpoint(url, scheme, host, port or DEFAULT_PORTS[scheme], parts.path or "/", fingerprint, ca_file)


def _parse_fingerprint(url: str, text: str) -> bytes:
    algorithm, _, digits = text.partition(":")
    try:
        digest = bytes.fromhex(digits.replace(":", ""))
    except ValueError:
        digest = b""
    if algorithm != "sha256" or len(digest) != 32:
        _refuse(url, "cert is sha256: and 64 hex digits")
    return digest


def _refuse(url: str, why: str) -> NoReturn:
    raise BadServerUrl(f"{url}: {why}") from None


async def open_stream(endpoint: Endpoint) -> trio.SocketStream | trio.SSLStream:
    """Connects, and checks the certificate. The caller owns the deadline.

    Raises OSError (ssl.SSLError and an unreadable CA file included), trio.BrokenResourceError, WrongCertificate.
    """
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if not endpoint.is_tls:
        return stream
    try:
        # https_compatible: servers in the field do not wait for the TLS close_notify.
        tls = trio.SSLStream(
            stream, _context(endpoint), server_hostname=endpoint.host.partition("%")[0], https_compatible=True
        )
        await tls.do_handshake()
        _require_certificate(endpoint, tls)
    except BaseException:  # cancelled, too: the socket is ours to close
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return tls


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    if endpoint.certificate is not None:  # the pin replaces the authorities
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _require_certificate(endpoint: Endpoint, tls: trio.SSLStream) -> None:
    if endpoint.certificate is None:
        return
    certificate = cast("bytes", tls.getpeercert(binary_form=True))  # the stubs know only the other overload
    shown = hashlib.sha256(certificate).digest()
    if not hmac.compare_digest(shown, endpoint.certificate):
        raise WrongCertificate(f"the certificate is sha256:{shown.hex()}, not the pinned one")
