"""The spelling of values in a setting: each function takes the text and returns the typed value.

All raise ValueError with a text that ends a sentence beginning with the setting's name. A value that already has its
type passes through, so that `Settings(quote_life=timedelta(hours=1))` works as well as `PINNING_QUOTE_LIFE=1h`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pinning_worker.domain.chain.networks import PinnedBlock
from pinning_worker.domain.money.swartz import Swartz

_SIZE_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_TIME_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\Z")
_BLOCK_HASH = re.compile("[0-9a-fA-F]{64}")
NONE = "none"  # instead of a list: no items at all
_ELECTRUM_SCHEMES = ("tcp", "ssl", "ws", "wss")
_LISTEN = re.compile(
    r"/(?:ip4|ip6)/[0-9a-fA-F:.]+/(?:tcp/(?P<tcp>\d{1,5})(?:/ws|/wss|/tls/ws)?|udp/(?P<udp>\d{1,5})/webrtc-direct)\Z"
)
_ANNOUNCED = re.compile(
    r"/(?:ip4|ip6|dns|dns4|dns6)/[^/\s]+/(?:tcp/\d{1,5}(?:/tls)?(?:/ws|/wss)?|udp/\d{1,5}/webrtc-direct/certhash/u[\w-]+)\Z"
)
_DIALLED = re.compile(r"/(?:ip4|ip6|dns|dns4|dns6|dnsaddr)/[^/\s]+(?:/[^/\s]+)*/p2p/[1-9A-HJ-NP-Za-km-z]{40,64}\Z")


def as_list(value: object) -> object:
    """Items separated by commas or blanks, in any mixture; a list or tuple as it is."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def as_bytes(value: object) -> object:
    """A number of bytes: `1048576`, `512 KiB`, `1.5GiB`. Decimal units are refused: they are a trap here."""
    if not isinstance(value, str):
        return value
    number, unit = _number_and_unit(value, _SIZE_UNITS, "a size such as 100MiB (B, KiB, MiB, GiB, TiB)")
    try:
        return int(number * _SIZE_UNITS[unit])
    except OverflowError:
        raise ValueError("is more than any disk holds") from None


def as_duration(value: object) -> object:
    """`30s`, `15m`, `24h`, `7d`, or a bare number of seconds."""
    if not isinstance(value, str):
        return value
    number, unit = _number_and_unit(value, _TIME_UNITS, "a duration such as 30s, 15m, 24h or 7d")
    try:
        return timedelta(seconds=number * _TIME_UNITS[unit])
    except OverflowError:
        raise ValueError("is too long a time") from None


def as_swartz(value: object) -> object:
    """Whole swartz, `_` between digits allowed. A fraction is most likely DOI: refused, with the factor."""
    if isinstance(value, Swartz):
        return value
    digits = str(value).replace("_", "") if type(value) in (int, str) else ""
    if not digits.isascii() or not digits.isdigit():
        raise ValueError("must be a whole number of swartz (1 DOI = 100000000 swartz)")
    return Swartz(int(digits))


def as_checkpoint(value: object) -> object:
    """`440000:0347f3…`: a block's height and its hash, 64 hex digits as explorers show them; empty is none."""
    if not isinstance(value, str) or not value:
        return value or None
    height, _, block_hash = value.strip().partition(":")
    if not (height.isascii() and height.isdigit() and len(height) < 10 and _BLOCK_HASH.fullmatch(block_hash)):
        raise ValueError("must be HEIGHT:HASH, the hash as 64 hex digits, as in 440000:0347f3ff…")
    return PinnedBlock(int(height), block_hash.lower())


def as_path(value: object) -> object:
    """`~` is the home directory."""
    return Path(value).expanduser() if isinstance(value, str) else value


def check_listen(multiaddr: str) -> str:
    """/ip4 or /ip6, then /tcp, /tcp with /ws or /tls/ws, or /udp with /webrtc-direct. All of tcp may share a port."""
    matched = _LISTEN.match(multiaddr)
    if matched is None or int(matched["tcp"] or matched["udp"]) > 65535 or not _is_ip(*multiaddr.split("/")[1:3]):
        raise ValueError(
            f"has {multiaddr}, which is not /ip4/<address>/tcp/<port>, that with /ws or /tls/ws, "
            "or /ip4/<address>/udp/<port>/webrtc-direct (or ip6)"
        )
    if matched["udp"] and find_spec("aiortc") is None:
        raise ValueError(f"has {multiaddr}, for which aiortc must be installed: pip install 'pinning-worker[webrtc]'")
    return multiaddr


def _is_ip(kind: str, host: str) -> bool:
    try:
        return ip_address(host).version == int(kind[-1])
    except ValueError:
        return False


def check_bootstrap(multiaddr: str) -> str:
    return multiaddr if multiaddr == NONE else check_peer(multiaddr)


def check_peer(multiaddr: str) -> str:
    if not _DIALLED.match(multiaddr):
        raise ValueError(
            f"has {multiaddr}, which is not a multiaddr ending in /p2p/<peer id>, "
            "as in /dns4/example.org/tcp/4001/p2p/12D3KooW…"
        )
    return multiaddr


def check_announce(multiaddr: str) -> str:
    if not _ANNOUNCED.match(multiaddr):
        raise ValueError(f"has {multiaddr}, which is not a multiaddr such as /dns4/example.org/tcp/443/wss")
    return multiaddr


def check_electrum_server(url: str) -> str:
    """tcp://, ssl://, ws:// or wss:// and a host; the Electrum adapter reads the rest (port, ?cert=, ?ca=)."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError(f"has {url}, which is not a server's address, as in wss://example.org:50004") from None
    if parts.scheme not in _ELECTRUM_SCHEMES or not parts.hostname:
        raise ValueError(f"has {url}, which must begin with tcp://, ssl://, ws:// or wss:// and name a host")
    return url


def _number_and_unit(text: str, units: Collection[str], wanted: str) -> tuple[float, str]:
    matched = _NUMBER_AND_UNIT.match(text.strip())
    if matched is None or matched[2].lower() not in units:
        raise ValueError(f"must be {wanted}")
    return float(matched[1]), matched[2].lower()


def check_ip(text: str) -> str:
    """An IP address in its usual spelling."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f"has {text}, which is no IP address") from None
