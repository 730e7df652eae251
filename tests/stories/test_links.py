"""A payer writes the link to the CID as people write links; a metadata.json is read by the same rule."""

from __future__ import annotations

import pytest
from multiformats import multibase
from trio.testing import MockClock

from pinning_worker.domain.content.cid import RAW, cid_of
from tests import content
from tests.stories.world import World

LINKS = [
    "ipfs://{}",
    "IPFS://{}",
    "ipfs://ipfs/{}",
    "/ipfs/{}",
    "{}",
    "{}/a.png",
    "https://gateway.example/ipfs/{}/a.png?x",
    "https://{}.ipfs.gateway.example/",
]


@pytest.mark.parametrize("value", LINKS)
async def test_a_payment_buys_by_any_link(value: str, autojump_clock: MockClock) -> None:
    """Catches: money that the payer has spent, and that nobody can assign."""
    cid, blocks = content.file(content.noise(2_000_000))
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(cid, await w.quoted(cid), value=value)
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


async def test_a_payment_buys_by_a_cid_with_a_slash(autojump_clock: MockClock) -> None:
    """Catches: a CID in base64, cut at the slash among its digits."""
    pictures = (b"%d" % number for number in range(1_000))
    picture = next(each for each in pictures if "/" in multibase.encode(cid_of(RAW, each).key, "base64"))
    cid, blocks = content.file(picture)
    spelled = multibase.encode(cid.key, "base64")
    async with World().running() as w:
        w.offer(blocks)
        await w.pay(spelled, await w.quoted(cid), value="ipfs://{}/a.png")
        await w.mine(3)
        assert w.hear_statuses()[-2:] == ["ADDED-CID", "CID-PINNED-WITH-NAME"]


@pytest.mark.parametrize("link", LINKS)
async def test_a_document_names_its_image_by_any_link(link: str, autojump_clock: MockClock) -> None:
    """Catches: an image behind a gateway's link, sold as kept with the document and gone with the gateway."""
    image, blocks = content.file(content.noise(2_000_000))
    cid, _, own = content.nft(b"", images=[link.format(image)])
    async with World().running() as w:
        w.offer(blocks | own)
        await w.say(f"NEW-CID:{cid}")
        [adding] = w.hear()
        assert adding["foreign"] == []
        assert adding["bytes"]["image"] == sum(map(len, blocks.values()))
