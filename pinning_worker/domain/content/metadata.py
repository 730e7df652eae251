"""metadata.json: the target of a name's value, as people really wrote it.

`{"name", "description", "image": "ipfs://<cid>"[, "images": ["ipfs://<cid>", …]]}` is the good case. Seen in the wild:
`ipfs://undefined`, `https:` images, `ipfs://cid/path`, `null`, an HTML page, an image where metadata was expected.
`cid_link.py` says which links name a CID; a gateway's `https:` link is one of them.

Rules: nothing here is fatal, whatever the bytes are. A link that this worker can fetch is an `ImageLink`; every other
one is `foreign`: reported to the asker, never pinned. A document is decoded whole (never chunk by chunk: a UTF-8
character may lie across two blocks), and only up to MOST_BYTES. Strangers write it, so all parts that the books keep
are bounded: texts are cut, and each of the two lists has its own bound, so that no number of foreign links hides an
image that comes after them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pinning_worker.domain.content.cid import BadCid, Cid, UnsupportedCid
from pinning_worker.domain.content.cid_link import may_be_cid_link, parse_cid_link

MOST_BYTES = 1024 * 1024
MOST_IMAGES = 1000
# A CID's text costs about 130 µs: a hostile document must not hold the event loop for seconds.
MOST_TRIED = 2 * MOST_IMAGES
MOST_FOREIGN = 100
LONGEST_TEXT = 512  # a `data:` image would be as long as the document
MOST_FOREIGN_TEXT = (
    4096  # characters of all foreign links; the books keep them with each of a closure's quotes, for ever
)


@dataclass(frozen=True, slots=True)
class ImageLink:
    """An image on IPFS: the CID to fetch, and the path under it (`""`: the CID itself), as written."""

    cid: Cid
    path: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """A metadata document. `name` and `description` are `""` if they are missing or no text.

    images: links that can be fetched, each once, in order of appearance (`image` before `images`).
    foreign: all others: other schemes, `ipfs://undefined`, codecs that we don't read, values that are no text.
    has_images: whether it is a collection, that is: has a key `images`.
    """

    name: str
    description: str
    images: tuple[ImageLink, ...]
    foreign: tuple[str, ...]
    has_images: bool


def parse_metadata(document: bytes) -> Metadata | None:
    """The metadata in these bytes, or None if they are none: not a JSON object in UTF-8, or over MOST_BYTES."""
    if len(document) > MOST_BYTES:
        return None
    try:
        read = json.loads(document.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # not UTF-8, not JSON, an absurd number; nested a thousand deep
        return None
    if not isinstance(read, dict):
        return None
    images, foreign = _sort_links(_links(read))
    return Metadata(_text(read.get("name")), _text(read.get("description")), images, foreign, "images" in read)


def _links(document: dict[str, object]) -> Iterator[object]:
    """All values in the places of images, without empty ones."""
    images = document.get("images")
    for link in (document.get("image"), *(images if isinstance(images, list) else [images])):
        if link not in (None, ""):
            yield link


def _sort_links(links: Iterator[object]) -> tuple[tuple[ImageLink, ...], tuple[str, ...]]:
    images: dict[tuple[bytes, str], ImageLink] = {}
    foreign: dict[str, None] = {}
    foreign_text = 0
    tried: set[str] = set()
    for link in links:
        if isinstance(link, str) and link in tried:
            continue
        image = None
        if len(images) < MOST_IMAGES and len(tried) < MOST_TRIED and isinstance(link, str) and may_be_cid_link(link):
            tried.add(link)
            image = _image(link)
        if image is not None:
            images.setdefault((image.cid.key, image.path), image)
        elif len(foreign) < MOST_FOREIGN and foreign_text < MOST_FOREIGN_TEXT:
            told = _short(link)
            foreign_text += 0 if told in foreign else len(told)
            foreign[told] = None
    return tuple(images.values()), tuple(foreign)


def _image(link: str) -> ImageLink | None:
    try:
        found = parse_cid_link(link)
        return ImageLink(found.cid.require_supported(), found.path)
    except (BadCid, UnsupportedCid):
        return None


def _short(link: object) -> str:
    try:
        text = link if isinstance(link, str) else json.dumps(link)
    except RecursionError:  # writing needs a little more room than reading did
        text = "…"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def _text(value: object) -> str:
    return _cut(value) if isinstance(value, str) else ""
