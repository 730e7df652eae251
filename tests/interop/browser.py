"""What the deployed browser client does on the topic, done by a Helia peer: join, make art, ask, wait for the pin."""

from dataclasses import dataclass
from typing import Any

import trio

from tests.interop.helia import KIB, Added, Heard, Helia
from tests.interop.worker import Worker

IMAGE_BYTES = 1_236_168
NO_NAMES = "LAST_100_CIDS:NONE"


@dataclass(frozen=True)
class Art:
    """A metadata.json and the image that it names. Its CID is the metadata's: that is what is asked for and paid."""

    metadata: Added
    image: Added

    @property
    def cid(self) -> str:
        return self.metadata.cid

    @property
    def bytes(self) -> int:
        """Of all unique blocks: what a quote must be for."""
        return self.metadata.dag_bytes + self.image.dag_bytes


async def join(peer: Helia, worker: Worker, addr: str | None = None) -> None:
    """Connected (by tcp, unless another address is given), and in each other's mesh: from now on a message arrives."""
    await peer.dial(addr or worker.tcp_addr)
    await peer.wait_mesh(peer_id=worker.peer_id)


async def make_art(peer: Helia, name: str = "art", image_seed: str = "image") -> Art:
    """Art in the peer's own store; the same seed is the same image."""
    image = await peer.add_file(IMAGE_BYTES, seed=image_seed, chunk_size=256 * KIB)
    return Art(await peer.add_metadata(name, image=image.cid), image)


async def ask_for_quote(peer: Helia, cid: str, worker: Worker) -> dict[str, Any]:
    """Asks as the browser does, in plain text, and returns this worker's ADDING-CID."""
    await peer.publish(f"NEW-CID:{cid}")
    return await answer(peer, "ADDING-CID", cid, worker)


async def answer(peer: Helia, status: str, cid: str, worker: Worker) -> dict[str, Any]:
    """The next message with that status about that CID from this worker; waits for it."""

    def fits(message: Heard) -> bool:
        return message.sender == worker.peer_id and message.says(status, cid)

    message: dict[str, Any] = (await peer.heard(fits)).json
    return message


async def rows(peer: Helia, worker: Worker) -> list[dict[str, Any]]:
    """The newest NameOps that this worker lists; asked for until there are some, for a block's names are read later."""

    def is_list(message: Heard) -> bool:
        return message.sender == worker.peer_id and (isinstance(message.json, list) or message.text == NO_NAMES)

    with trio.fail_after(60):
        while True:
            await peer.publish('{"type":"LIST","dateString":"LAST"}')
            listed: list[dict[str, Any]] | None = (await peer.heard(is_list)).json
            if listed is not None:
                return listed
            await trio.sleep(0.2)
