"""The conversation of `ask`: asks, repeats the question while it waits, and shows each step up to the awaited one.

Rules: every wait has a deadline; `domain/topic/following.py` interprets the messages; a repeated question is free, and
recovers answers that gossip lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pinning_worker.commands.ask_shown import Shown
from pinning_worker.commands.telling import ExitCode

if TYPE_CHECKING:
    from pinning_worker.adapters.p2p.asker import Asker
    from pinning_worker.domain.content.cid import Cid
    from pinning_worker.domain.topic.following import Following, Step
    from pinning_worker.ports.content import Blocks

QUOTE_SECONDS = 20 * 60.0  # a worker gives up a fetch after 15 minutes by default
PIN_SECONDS = 24 * 3600.0  # the default life of a quote
ASK_AGAIN_SECONDS = 10.0  # gossip may lose the first message of a connection
ASK_ABOUT_PAYMENT_SECONDS = 60.0


class NoAnswer(Exception):
    """The worker is there, and the awaited answer did not come in time."""


async def follow(asker: Asker, following: Following, shown: Shown, *, to_the_pin: bool, timeout: float | None) -> int:
    """Returns the exit code: 0 once pinned (without `to_the_pin`: once quoted), else REFUSED. Raises NoAnswer."""
    from pinning_worker.domain.topic.following import Offer, Pinned

    def is_answer(step: Step) -> bool:
        return isinstance(step, Offer) or following.ends_with(step)

    quoted = await _next(asker, following, shown, is_answer, timeout or QUOTE_SECONDS, ASK_AGAIN_SECONDS)
    if quoted is None:
        raise NoAnswer(f"{asker.worker} gave no quote in time: its log says why, or it is busy with others")
    if not isinstance(quoted, Offer):
        return int(ExitCode.REFUSED)
    if not to_the_pin:
        return 0
    wait = timeout or PIN_SECONDS
    pinned = await _next(asker, following, shown, following.ends_with, wait, ASK_ABOUT_PAYMENT_SECONDS)
    if not isinstance(pinned, Pinned):
        raise NoAnswer("it was not pinned in time: pay the quote, and ask again")
    return 0


async def _next(
    asker: Asker,
    following: Following,
    shown: Shown,
    is_it: Callable[[Step], bool],
    seconds: float,
    again_every: float,
) -> Step | None:
    """Shows every step up to the first that `is_it`; None after `seconds`. Asks now, and every `again_every`."""
    import trio

    async def ask_again() -> None:
        while True:
            asker.say(following.question())
            await trio.sleep(again_every)

    found: Step | None = None
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_again)
            while found is None:
                step = following.heard(await asker.hear())
                if step is not None:
                    shown.step(step)
                    found = step if is_it(step) else None
            nursery.cancel_scope.cancel()
    return found


async def serve(path: Path, blocks: Blocks) -> tuple[Cid, int]:
    """Stores a file's blocks. Returns (the root's CID, bytes of all blocks). May block: nothing else runs yet."""
    from pinning_worker.domain.content.unixfs_file import file_blocks

    size = 0
    with path.open("rb") as file:
        for cid, block in file_blocks(_chunks(file)):
            await blocks.put(cid.multihash, block)
            size += len(block)
            root = cid
    return root, size


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    from pinning_worker.domain.content.unixfs_file import CHUNK

    while chunk := file.read(CHUNK):
        yield chunk
