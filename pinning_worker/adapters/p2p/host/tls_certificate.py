"""The operator's TLS certificate for wss: read from two PEM files, and read again when they change.

A renewed certificate is loaded into the context that the listeners use: the next handshake has it, connections stay.
Files are replaced one after the other, so a pair that does not fit is never loaded, only logged; the old one stays in
use, and the next change of a file is another try. Files that cannot change under a running process (systemd
credentials) are read once.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import trio
from cryptography import x509

from pinning_worker.adapters.machine.disk_faults import reason_of
from pinning_worker.adapters.p2p.errors import BadCertificate

LOOK_SECONDS = 30.0
SOON = timedelta(days=7)  # certbot and acme.sh renew a month before the end

_CURES = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate, name the two files of one pair",
    "NO_START_LINE": "one of them is no PEM file",
}

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM: the certificate with its chain, and the private key, not encrypted."""

    certificate: Path
    key: Path


class TlsCertificate:
    """`context` is for the listeners. Raises BadCertificate when the files cannot be read, or do not fit together."""

    def __init__(self, files: CertificateFiles) -> None:
        self.files = files
        self.context = _server_context()
        self._seen: object = None
        try:
            self.reload()
        except (OSError, ValueError) as error:
            raise _refused(files, error) from error

    def reload(self) -> bool:
        """Loads the files if they have changed. False: they have not. Raises OSError (SSLError is one), ValueError."""
        seen = tuple(_stamp(path) for path in (self.files.certificate, self.files.key))
        if seen == self._seen:
            return False
        self._seen = seen
        expires = _checked(self.files)  # a pair that does not fit would spoil the live context
        _load(self.context, self.files)
        tell = _log.warning if expires < datetime.now(UTC) + SOON else _log.info
        tell("tls.certificate", file=str(self.files.certificate), expires=expires.isoformat())
        return True

    async def watch(self) -> None:
        """Looks every LOOK_SECONDS, until cancelled. A fault is logged once for each state of the files."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                self.reload()
            except (OSError, ValueError) as error:
                _log.warning("tls.not_renewed", file=str(self.files.certificate), reason=_reason(error))


def end_of(files: CertificateFiles) -> datetime:
    """The end of the certificate's validity. Raises BadCertificate where a worker with these files would not start."""
    try:
        return _checked(files)
    except (OSError, ValueError) as error:
        raise _refused(files, error) from error


def _checked(files: CertificateFiles) -> datetime:
    """Raises OSError (SSLError is one), ValueError."""
    expires = _expiry(files.certificate)
    _load(_server_context(), files)
    return expires


def _refused(files: CertificateFiles, error: Exception) -> BadCertificate:
    return BadCertificate(
        f"cannot use {files.certificate} with {files.key} for wss: {_reason(error)} (PINNING_TLS_CERT and "
        "PINNING_TLS_KEY name them)"
    )


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, files: CertificateFiles) -> None:
    context.load_cert_chain(files.certificate, files.key, password=_no_password)


def _no_password() -> str:
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes when the file is written or replaced, also through a symbolic link. Raises OSError."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _expiry(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        said = f"{error.reason or error}"
        return f"{said}: {_CURES[said]}" if said in _CURES else said
    return reason_of(error) if isinstance(error, OSError) else str(error)
