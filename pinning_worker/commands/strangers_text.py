"""Names and other texts of strangers on a terminal: printed so that they move no cursor and break no line. The command
line reads them back as they were printed.

What is not printable is written `\\xNN`, byte by byte, as `name_text` writes bytes that are not UTF-8. JSON is not
changed: its own escapes are enough.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinning_worker.domain.identities import NameBytes


def printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def typed_bytes(text: str) -> bytes:
    """An argument of the command line, whose bytes need not be UTF-8."""
    return os.fsencode(text)


def typed_text(text: str) -> str:
    """An argument as text that can be stored: bytes that are not UTF-8 become `\\xNN`."""
    return typed_bytes(text).decode("utf-8", "backslashreplace")


def typed_name(text: str) -> NameBytes:
    """The name as `pins` prints it, or as its bytes."""
    from pinning_worker.domain.identities import NameBytes

    return NameBytes(re.sub(rb"\\x([0-9a-f]{2})", _unescaped, typed_bytes(text)))


def _escaped(sign: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in sign.encode("utf-8", "surrogateescape"))


def _unescaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[1].decode())
