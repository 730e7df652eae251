"""Links to content on IPFS, as people write them: in the value of a NameOp and in a metadata.json.

    ipfs://<cid>/a.png     IPFS://<cid>     ipfs://ipfs/<cid>     /ipfs/<cid>?x#y     <cid>
    https://gateway.example/ipfs/<cid>/a.png                      https://<cid>.ipfs.gateway.example/a.png

One parser serves both places, so that a payer may write whatever is read in a document, and the reverse. Any base may
spell the CID. Base64 has the slash among its digits: such a CID ends where its own multihash says, and only then does
the path begin. Strangers write these texts; parsing takes time in proportion to their length.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass

from pinning_worker.domain.content.cid import BadCid, Cid, cid_length, parse_cid

_BASE64 = ("m", "M")  # multibase: without and with padding
_LONGEST_DIGITS = 512  # of a base64 CID

_PREFIX = re.compile(r"ipfs://(?:ipfs/)?|/ipfs/", re.I | re.A)
# A gateway's host begins with the CID and `.ipfs.`, or the path begins with `/ipfs/`.
_GATEWAY = re.compile(r"https?://(?:[^/?#]*@)?(?:(?P<label>[a-z0-9]+)\.ipfs\.)?[^/?#@]*", re.I | re.A)
_DIGITS = re.compile(rf"[A-Za-z0-9+/]{{0,{_LONGEST_DIGITS}}}")
_SEGMENT = re.compile(r"[^/?#]*")
_PATH = re.compile(r"(?:/(?P<path>[^?#]*))?(?:[?#].*)?", re.S)


@dataclass(frozen=True, slots=True)
class CidLink:
    """`text`: the CID as the link spells it. `path`: the path under it, as written (`""`: the CID itself)."""

    cid: Cid
    text: str
    path: str = ""


def parse_cid_link(link: str) -> CidLink:
    """The CID and the path that a link names. Raises BadCid; whether the CID can be fetched is not asked here."""
    link = link.strip()
    gateway = _GATEWAY.match(link)
    if gateway is None:
        prefix = _PREFIX.match(link)
        return _cid_and_path(link[prefix.end() :] if prefix else link)
    rest = link[gateway.end() :]
    if gateway["label"] is not None and (cid := _from_label(gateway["label"])) is not None:
        return CidLink(cid, gateway["label"], _path(rest))
    if not rest.startswith("/ipfs/"):
        raise BadCid("not a link to IPFS")
    return _cid_and_path(rest.removeprefix("/ipfs/"))


def may_be_cid_link(link: str) -> bool:
    """A cheap check, without decoding: False for `https:` links elsewhere, other schemes, and texts that are no CID."""
    link = link.strip()
    gateway = _GATEWAY.match(link)
    if gateway is not None:
        return gateway["label"] is not None or link.startswith("/ipfs/", gateway.end())
    prefix = _PREFIX.match(link)
    segment = _SEGMENT.match(link, prefix.end() if prefix else 0)
    return segment is not None and segment[0] != "" and ":" not in segment[0]


def _cid_and_path(rest: str) -> CidLink:
    """Of a text that begins with the CID."""
    segment = _SEGMENT.match(rest)
    assert segment is not None  # it may be empty
    text = _base64_cid(rest) if rest.startswith(_BASE64) else segment[0]
    return CidLink(parse_cid(text), text, _path(rest[len(text) :]))


def _base64_cid(rest: str) -> str:
    """The base64 CID that the text begins with. Raises BadCid."""
    found = _DIGITS.match(rest, 1)
    assert found is not None  # it may be empty
    digits = found[0]
    length = cid_length(b64decode(digits + "A" * (-len(digits) % 4)))
    end = 1 + -(-8 * length // 6)
    return rest[:end] + "=" * _padding(rest[end:])


def _padding(rest: str) -> int:
    return len(rest[:2]) - len(rest[:2].lstrip("="))


def _path(rest: str) -> str:
    match = _PATH.fullmatch(rest)
    if match is None:
        raise BadCid("not a CID: it goes on")
    return (match["path"] or "").strip("/")


def _from_label(label: str) -> Cid | None:
    """A host's name is the same in capital letters: those that spell no CID are tried as small ones."""
    for spelling in dict.fromkeys((label, label.lower())):
        try:
            return parse_cid(spelling)
        except BadCid:
            continue
    return None
