"""metadata.json in every shape that was seen: nothing is fatal, and what can't be pinned is said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.content import cid_link
from pinning_worker.domain.content.cid import DAG_CBOR, BadCid, Cid, cid_of
from pinning_worker.domain.content.metadata import (
    LONGEST_TEXT,
    MOST_BYTES,
    MOST_FOREIGN,
    MOST_FOREIGN_TEXT,
    MOST_IMAGES,
    MOST_TRIED,
    ImageLink,
    Metadata,
    parse_metadata,
)

PNG = cid_of(0x55, b"a picture")
OLD = Cid(0, 0x70, cid_of(0x70, b"an old one").multihash)
CBOR = cid_of(DAG_CBOR, b"something else")


def read(document: object) -> Metadata:
    found = parse_metadata(json.dumps(document).encode())
    assert found is not None
    return found


def test_the_good_case() -> None:
    document = read({"name": "Ö", "description": "d", "image": f"ipfs://{PNG}"})
    assert document == Metadata("Ö", "d", (ImageLink(PNG),), (), has_images=False)


def test_a_collection_lists_each_image_once_and_the_cover_first() -> None:
    document = read({"image": f"ipfs://{OLD}", "images": [f"ipfs://{PNG}", f"/ipfs/{OLD}", f"ipfs://{PNG}"]})
    assert document.images == (ImageLink(OLD), ImageLink(PNG))
    assert document.has_images


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (f"ipfs://{PNG}", ""),
        (f"IPFS://{PNG}", ""),
        (f"ipfs://ipfs/{PNG}", ""),
        (f"/ipfs/{PNG}", ""),
        (f" {PNG} ", ""),
        (f"ipfs://{PNG}/", ""),
        (f"ipfs://{PNG}/art/one two.png", "art/one two.png"),
        (f"ipfs://{PNG}/1.png?filename=x#y", "1.png"),
        (f"{PNG}/1.png", "1.png"),
        (f"https://gateway.example/ipfs/{PNG}/1.png", "1.png"),
        (f"https://{PNG}.ipfs.gateway.example/1.png", "1.png"),
    ],
)
def test_links_that_are_fetched(link: str, path: str) -> None:
    assert read({"image": link}).images == (ImageLink(PNG, path),)


@pytest.mark.parametrize(
    "link",
    [
        "ipfs://undefined",
        "https://example.org/a.png",
        f"https://example.org/ipns/{PNG}",
        "ipfs://",
        "/ipfs/",
        "data:image/png;base64,AAAA",
        f"ipfs://{CBOR}",
        f"ipns://{PNG}",
        "ipfs://bafy\0",
    ],
)
def test_links_that_are_reported(link: str) -> None:
    document = read({"image": link, "images": [f"ipfs://{PNG}"]})
    assert document.foreign == (link,)
    assert document.images == (ImageLink(PNG),), "a foreign link costs the others nothing"


@pytest.mark.parametrize("image", [7, 1.5, True, ["x"], {"url": "ipfs://x"}])
def test_an_image_that_is_no_text_is_reported_as_json(image: object) -> None:
    assert read({"image": image}).foreign == (json.dumps(image),)


@pytest.mark.parametrize("image", [None, ""])
def test_no_image_is_nothing_to_report(image: object) -> None:
    assert read({"image": image, "images": [image]}).foreign == ()
    assert read({"images": image}).has_images


def test_images_that_are_no_list() -> None:
    document = read({"images": f"ipfs://{PNG}"})
    assert document.images == (ImageLink(PNG),)
    assert read({"images": {"a": 1}}).foreign == ('{"a": 1}',)


def test_names_that_are_no_text_are_empty() -> None:
    assert read({"name": 5, "description": None}) == Metadata("", "", (), (), has_images=False)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"<!doctype html><title>no</title>",
        b"\x89PNG\r\n\x1a\n",
        b'{"name": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"name": "' + b"x" * MOST_BYTES + b'"}',
    ],
)
def test_what_is_no_metadata_document(document: bytes) -> None:
    assert parse_metadata(document) is None


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert parse_metadata(b'\xef\xbb\xbf{"name": "x"}') is not None


def test_strangers_lists_are_bounded() -> None:
    document = read({"images": [f"ipfs://{PNG}/{n}" for n in range(MOST_IMAGES + 7)]})
    assert len(document.images) == MOST_IMAGES
    assert len(document.foreign) == 7, "what is over the bound is said, not dropped in silence"
    assert len(read({"images": [f"https://x/{n}" for n in range(5000)]}).foreign) == MOST_FOREIGN
    assert len(read({"image": "data:" + "A" * 9999}).foreign[0]) == LONGEST_TEXT + 1


@pytest.mark.parametrize("letter", ["A", "é", "𝕏", "\x01"])
def test_what_the_books_keep_of_a_document_is_small_however_large_it_is(letter: str) -> None:
    """Catches: a name of a megabyte in every row of the books, for ever, though nobody paid; foreign links likewise,
    once more in each of eight quotes."""
    links = [f"https://{number}/" + letter * 700 for number in range(50)]
    document = read({"name": letter * (600_000 if letter == "A" else 20_000), "images": links})
    assert len(document.name) == LONGEST_TEXT + 1
    assert sum(map(len, document.foreign)) <= MOST_FOREIGN_TEXT + LONGEST_TEXT + 1
    assert len(document.foreign) >= 5


@pytest.mark.parametrize(
    "foreign",
    [
        [f"https://example.org/{n}.png" for n in range(20 * MOST_IMAGES)],
        [f"https://example.org/ipns/{PNG}/{n}.png" for n in range(5 * MOST_IMAGES)],
        [f"ipfs://{cid_of(DAG_CBOR, str(n).encode())}" for n in range(MOST_IMAGES)],
        ["ipfs://undefined"] * 20 * MOST_IMAGES,
        [[n] for n in range(20 * MOST_IMAGES)],
    ],
    ids=["elsewhere", "another path", "another codec", "undefined", "no text"],
)
def test_no_number_of_foreign_links_hides_an_image_after_them(foreign: list[object]) -> None:
    document = read({"image": f"ipfs://{OLD}", "images": [*foreign, f"ipfs://{PNG}"]})
    assert document.images == (ImageLink(OLD), ImageLink(PNG))
    assert 1 <= len(document.foreign) <= MOST_FOREIGN


def test_one_image_named_a_thousand_times_is_one() -> None:
    document = read({"images": [f"ipfs://{OLD}"] * 2 * MOST_IMAGES + [f"ipfs://{PNG}"]})
    assert (document.images, document.foreign) == ((ImageLink(OLD), ImageLink(PNG)), ())


def test_what_may_be_a_cid_is_not_looked_at_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches: a document of a megabyte that keeps the worker busy for seconds."""
    looked = 0

    def parse(text: str) -> Cid:
        nonlocal looked
        looked += 1
        raise BadCid(text)

    monkeypatch.setattr(cid_link, "parse_cid", parse)
    read({"images": [f"ipfs://{n}" for n in range(10 * MOST_TRIED)]})
    assert looked == MOST_TRIED


KEYS = st.sampled_from(["image", "images", "name", "k"])
ATOMS = st.none() | st.booleans() | st.floats() | st.text()
ANY_JSON = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@given(ANY_JSON)
def test_no_json_is_fatal(document: object) -> None:
    found = parse_metadata(json.dumps(document).encode("utf-8"))
    assert (found is None) == (not isinstance(document, dict))


@given(st.binary(max_size=200))
def test_no_bytes_are_fatal(document: bytes) -> None:
    parse_metadata(document)


def test_no_depth_of_nesting_is_a_fault_of_ours() -> None:
    """The deepest that can be read cannot be written again."""
    for depth in range(800, 1000):
        read = parse_metadata(b'{"image":' + b"[" * depth + b"]" * depth + b"}")
        assert read is None or len(read.foreign) == 1
