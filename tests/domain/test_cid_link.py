"""Links to content on IPFS: every spelling of payers and documents, and no text of a stranger that costs more."""

import json
from contextlib import suppress
from time import perf_counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from multiformats import multibase

from pinning_worker.domain.content.cid import DAG_CBOR, DAG_PB, RAW, BadCid, Cid, cid_of
from pinning_worker.domain.content.cid_link import CidLink, may_be_cid_link, parse_cid_link
from pinning_worker.domain.content.metadata import parse_metadata
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.domain.money.payment import named_cid

V1 = cid_of(DAG_PB, b"folder")
V0 = Cid(0, DAG_PB, V1.multihash)
LONGEST = 1024 * 1024
BASES = ["base16", "base16upper", "base32", "base32upper", "base36", "base58btc", "base64", "base64pad", "base64url"]


def with_slash() -> Cid:
    """A CID whose base64 has a slash among its digits."""
    found = (cid_of(RAW, b"%d" % number) for number in range(1_000))
    return next(cid for cid in found if "/" in multibase.encode(cid.key, "base64")[10:20])


@pytest.mark.parametrize("cid", [V0, V1], ids=["v0", "v1"])
@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("{}", ""),
        ("{}/1.png", "1.png"),
        ("ipfs://{}", ""),
        ("IPFS://{}", ""),
        ("Ipfs://{}/a", "a"),
        ("ipfs://ipfs/{}", ""),
        ("IPFS://ipfs/{}/a/b?x", "a/b"),
        ("/ipfs/{}", ""),
        ("/ipfs/{}/a b.png#top", "a b.png"),
        (" ipfs://{}/\n", ""),
        ("ipfs://{}?filename=x/y", ""),
        ("https://gateway.example/ipfs/{}", ""),
        ("HTTP://gateway.example:8080/ipfs/{}/a/b?download=1", "a/b"),
        ("https://user:secret@gateway.example/ipfs/{}#x", ""),
        ("https://gateway.ipfs.example/ipfs/{}", ""),
        ("https://bafy.ipfs.example@gateway.example/ipfs/{}", ""),
    ],
)
def test_spellings(cid: Cid, link: str, path: str) -> None:
    assert parse_cid_link(link.format(cid)) == CidLink(cid, str(cid), path)


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://{}.ipfs.gateway.example", ""),
        ("https://{}.ipfs.gateway.example/", ""),
        ("http://{}.ipfs.localhost:8080/a/b.png?x", "a/b.png"),
        ("https://{}.ipfs.gateway.example?x", ""),
        (f"https://{{}}.ipfs.gateway.example/ipfs/{V0}", f"ipfs/{V0}"),
    ],
)
def test_the_host_of_a_gateway_names_it(link: str, path: str) -> None:
    assert parse_cid_link(link.format(V1)) == CidLink(V1, str(V1), path)
    capitals = link.format(str(V1).title())
    assert parse_cid_link(capitals).cid == V1, "a host's name is the same in capital letters"


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("before", ["", "ipfs://", "/ipfs/", "https://gateway.example/ipfs/"])
@pytest.mark.parametrize(("after", "path"), [("", ""), ("/a/b.png", "a/b.png"), ("?x", ""), ("#x/y", "")])
def test_any_base_and_the_slashes_of_base64(base: str, before: str, after: str, path: str) -> None:
    """Catches: a base64 CID cut at the slash among its digits; a path taken for more digits."""
    cid = with_slash()
    text = multibase.encode(cid.key, base)
    assert parse_cid_link(before + text + after) == CidLink(cid, text, path)


@pytest.mark.parametrize(
    "link",
    [
        "",
        "ipfs://",
        "/ipfs/",
        "ipfs://undefined",
        "ipfs://ipfs",
        "https://",
        "https://example.org/a.png",
        f"https://example.org/ipns/{V1}",
        f"https://example.org/?/ipfs/{V1}",
        f"https://{V1}.ipns.gateway.example/",
        f"https://{V1}.ipfs",
        f"https://{V1}/",
        f"ipns://{V1}",
        f"ftp://example.org/ipfs/{V1}",
        f"see ipfs://{V1}",
        f"ipfs://{V1}x",
        f"ipfs://{V1}:80",
        f"ipfs://{V1} x",
        "ipfs://" + multibase.encode(V1.key, "base64") + "A",
        "ipfs://m",
        "ipfs://mAVUg",
        "ipfs://mAVU" + "/" * 600,
        "data:image/png;base64,AAAA",
        "ipfs://bafy\0",
        "ipfs://mAVUſ",
        "bafk" + "A" * LONGEST,
    ],
)
def test_other_texts(link: str) -> None:
    with pytest.raises(BadCid):
        parse_cid_link(link)


@pytest.mark.parametrize("link", ["https://example.org/a.png", "data:image/png;base64,AAAA", "ipns://x", "ipfs://", ""])
def test_other_links_are_told_apart_without_decoding(link: str) -> None:
    assert not may_be_cid_link(link)


DIGESTS = st.binary(min_size=32, max_size=32).map(lambda digest: Multihash(b"\x12\x20" + digest))
CIDS = st.builds(Cid, st.just(1), st.sampled_from([RAW, DAG_PB]), DIGESTS)
TEXTS = st.builds(lambda cid, base: multibase.encode(cid.key, base), CIDS, st.sampled_from(BASES))
STARTS = st.sampled_from(["", "ipfs://", "IPFS://", "ipfs://ipfs/", "/ipfs/", "https://g.example/ipfs/", "https://"])
ENDS = st.sampled_from(["", "/a/b.png", "/", "?x", "#x", ".ipfs.g.example", ".ipfs.g.example/a", "=", "/A", "\n"])
LINKS = st.builds("{}{}{}".format, STARTS, TEXTS | st.text(max_size=80), ENDS) | st.text()


@given(LINKS)
def test_no_text_is_a_fault_of_ours(link: str) -> None:
    try:
        found = parse_cid_link(link)
    except BadCid:
        return
    assert found.text in link
    assert may_be_cid_link(link)
    assert parse_cid_link(found.text).cid == found.cid


@given(CIDS, st.sampled_from(BASES), st.sampled_from(["", "ipfs://", "/ipfs/", "https://g.example/ipfs/"]))
def test_every_cid_is_read_with_its_path(cid: Cid, base: str, before: str) -> None:
    text = multibase.encode(cid.key, base)
    assert parse_cid_link(f"{before}{text}/a/B+/c?x") == CidLink(cid, text, "a/B+/c")


@given(LINKS)
def test_a_payer_may_write_what_a_document_may(link: str) -> None:
    """Catches: a second parser, in whichever of the two places."""
    assume(link.isprintable() and "\ud800" not in link)
    document = parse_metadata(json.dumps({"image": link}).encode())
    assert document is not None
    named = named_cid(link.encode("utf-8", "surrogatepass"))
    readable = named[0] if named is not None and _is_supported(named[0]) else None
    assert [image.cid for image in document.images] == ([] if readable is None else [readable])


def _is_supported(cid: Cid) -> bool:
    return cid.codec in (RAW, DAG_PB) and cid.multihash[:2] == b"\x12\x20"


def test_another_codec_is_named_too() -> None:
    """The payment is booked under it, though nobody can fetch it for the payer."""
    cbor = cid_of(DAG_CBOR, b"x")
    assert parse_cid_link(f"ipfs://{cbor}").cid == cbor


@pytest.mark.parametrize(
    "link",
    [
        "ipfs://m" + "/" * LONGEST,
        "ipfs://" * (LONGEST // 7),
        "https://" + "@" * LONGEST,
        "https://" + "a@" * (LONGEST // 2),
        "https://" + "a.ipfs." * (LONGEST // 7),
        "https://" + "a" * LONGEST + ".ipfs.example",
        "https://example/ipfs/m" + "A/" * (LONGEST // 2),
        "ipfs://M" + "=" * LONGEST,
        f"ipfs://{V1}" + "/" * LONGEST,
        f"ipfs://{V1}/" + "?" * LONGEST,
        " " * LONGEST,
        f"ipfs://{V1}/" + "\n" * LONGEST + "x",
        "z" * LONGEST,
    ],
    ids=lambda link: link[:30],
)
def test_a_long_text_takes_time_in_proportion(link: str) -> None:
    """Catches: a value or a document of a megabyte that holds the loop: in quadratic time it would be for minutes."""
    began = perf_counter()
    may_be_cid_link(link)
    with suppress(BadCid):
        parse_cid_link(link)
    assert perf_counter() - began < 2
