"""webrtc-direct: a browser dials us on a UDP port, with no domain and no certificate of an authority.

The address contains the hash of our certificate (`/certhash/…`), so we keep the certificate: one PEM file with key and
certificate, made on the first start, good for ten years. The address that a page was built with stays valid over
restarts; deleting the file changes the address. Spec:
https://github.com/libp2p/specs/blob/master/webrtc/webrtc-direct.md

aiortc, which this needs, is an extra (`[webrtc]`): it is imported only when a host listens on webrtc-direct.
"""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from libp2p.crypto.keys import KeyPair

from pinning_worker.adapters.machine import private_file
from pinning_worker.adapters.machine.disk_faults import reason_of
from pinning_worker.adapters.p2p.errors import BadCertificate, CannotListen

if TYPE_CHECKING:
    from libp2p.transport.webrtc.transport import WebRTCDirectTransport

GOOD_FOR = timedelta(days=3653)
NOT_SHORTER = timedelta(days=30)

Pair: TypeAlias = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]
_MEND = "Put it back from a backup, or move it aside: a new one is made then, and the address changes"

_log = structlog.get_logger(__name__)


def missing() -> bool:
    """Is the extra not installed?"""
    return importlib.util.find_spec("aiortc") is None


def require_installed() -> None:
    """Raises CannotListen: the extra is not installed."""
    if missing():
        raise CannotListen(
            "cannot listen on webrtc-direct: aiortc is not installed. Install it with "
            "pip install 'pinning-worker[webrtc]', or take webrtc-direct out of what is listened on"
        )


def webrtc_transport(key: KeyPair, pem: Path | None) -> WebRTCDirectTransport:
    """The transport to listen with. `pem`: the file that keeps its certificate; None: a new one for this run.

    The extra must be installed. Raises BadCertificate: the file cannot be used.
    """
    from libp2p.transport.webrtc.certificate import WebRTCCertificate
    from libp2p.transport.webrtc.config import WebRTCTransportConfig
    from libp2p.transport.webrtc.transport import WebRTCDirectTransport

    private, certificate = _load_or_create(pem) if pem is not None else _new_pair()
    known: Any = WebRTCCertificate(certificate, private)
    known._rtc_certificate = _as_aiortc(private, certificate)  # the library looks for it there, and has no other way
    return WebRTCDirectTransport(key.private_key, WebRTCTransportConfig(certificate=known, ice_servers=[]))


def _as_aiortc(private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> object:
    from aiortc.rtcdtlstransport import RTCCertificate

    return RTCCertificate(key=private, cert=certificate)


def kept_pair(pem: Path) -> Pair | None:
    """The key and certificate in that file; None: there is no such file yet. Raises BadCertificate."""
    try:
        data = pem.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadCertificate(f"cannot read the certificate for webrtc-direct: {reason_of(error)}") from error
    try:
        private = serialization.load_pem_private_key(data, password=None)
        certificate = x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError) as error:
        raise BadCertificate(f"{pem} holds no key and certificate for webrtc-direct. {_MEND}") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        raise BadCertificate(f"the key in {pem} is not that of its certificate. {_MEND}")
    return private, certificate


def _load_or_create(pem: Path) -> Pair:
    kept = kept_pair(pem)
    if kept is None:
        return _create(pem)
    if kept[1].not_valid_after_utc < datetime.now(UTC) + NOT_SHORTER:
        _log.warning("webrtc.certificate_replaced", file=str(pem), reason="it ends soon: the address changes")
        return _create(pem)
    return kept


def _create(pem: Path) -> Pair:
    private, certificate = _new_pair()
    pkcs8, no = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    data = private.private_bytes(serialization.Encoding.PEM, pkcs8, no)
    data += certificate.public_bytes(serialization.Encoding.PEM)
    try:
        private_file.replace(pem, data)
    except OSError as error:
        raise BadCertificate(f"cannot keep the certificate for webrtc-direct in {pem}: {reason_of(error)}") from error
    return private, certificate


def _new_pair() -> Pair:
    """P-256, which browsers require; it reveals nothing about us."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webrtc-direct")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + GOOD_FOR)
        .sign(private, hashes.SHA256())
    )
    return private, certificate
