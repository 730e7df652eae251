"""Our wants of one peer, for all sessions together, and the task that sends them.

Sessions share one wantlist for each peer: a want is sent once however many sessions hold it, and cancelled when the
last one drops it. `send` runs while there is something to send; it ends after a few quiet seconds, because Helia resets
a stream that is silent for ten, and the engine starts it again at the next change.

Rules: the first message on a new connection, and after a broken stream, is the full list. Cancels go in a message of
their own before new wants, and before the full list: Helia ignores a want that it answered a moment ago unless it was
cancelled, and one message must not say two things about one CID. So a want that the peer met is cancelled before it is
sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from libp2p.abc import IMuxedConn

from pinning_worker.adapters.p2p.bitswap.wire import Message, Want, WantType, encode
from pinning_worker.adapters.p2p.frames import ByteStream, StreamGone, close_quietly, write_frame
from pinning_worker.domain.content.cid import Cid, CidBytes
from pinning_worker.domain.content.multihash import Multihash

QUIET_SECONDS = 1.0  # Helia resets a stream that is silent for ten seconds, and waits for it when it closes
TRIES = 2
PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class _Standing:
    """`sent_as`: the CID under which the peer got the want, if it did."""

    want: Want
    holders: set[object] = field(default_factory=set)
    sent_as: CidBytes | None = None


class Wantlist:
    """By multihash. A holder is a session that wants the block."""

    def __init__(self) -> None:
        self.sending: trio.CancelScope | None = None  # of the task that runs `send`; None: none does
        self.sent_on: IMuxedConn | None = None  # the connection that the last stream was opened on
        self._standing: dict[Multihash, _Standing] = {}
        self._unsent: dict[Multihash, Want] = {}
        self._cancels: dict[CidBytes, None] = {}
        self._full = True
        self._bell = trio.Event()

    def __len__(self) -> int:
        return len(self._standing)

    def want(self, cid: Cid, kind: WantType, holder: object, *, received_before: bool = False) -> None:
        """Sends it, unless it stands already. A want for the block replaces one for its presence, never the reverse.

        `received_before`: the peer gave that block, and we want it once more.
        """
        standing = self._standing.get(cid.multihash)
        if standing is None and received_before:
            self._cancels[cid.binary] = None
        if standing is None or standing.want.kind > kind:
            want = Want(cid.binary, kind, send_dont_have=True)
            standing = standing or _Standing(want)
            if standing.sent_as not in (None, want.cid):
                self._cancel(standing)
            standing.want = self._unsent[cid.multihash] = want
            self._standing[cid.multihash] = standing
            self._bell.set()
        standing.holders.add(holder)

    def cancel_want(self, multihash: Multihash, holder: object) -> None:
        """The holder drops the want; the last one to drop it causes a cancel."""
        standing = self._standing.get(multihash)
        if standing is None:
            return
        standing.holders.discard(holder)
        if not standing.holders:
            del self._standing[multihash]
            self._unsent.pop(multihash, None)
            self._cancel(standing)

    def holds(self, multihash: Multihash) -> bool:
        return multihash in self._standing

    def receive(self, multihash: Multihash) -> bool:
        """The peer sent the block, and so has struck the want off its list. True if it stood there."""
        self._unsent.pop(multihash, None)
        return self._standing.pop(multihash, None) is not None

    async def send(self, open_stream: Callable[[], Awaitable[ByteStream]]) -> None:
        """Sends changes until there are none for a while. Raises StreamGone when the peer can't be reached."""
        failures = 0
        while True:
            try:
                return await self._send_on_a_stream(open_stream)
            except StreamGone:
                failures += 1
                self._full = True
                if failures == TRIES:
                    raise
                await trio.sleep(PAUSE_SECONDS)

    async def _send_on_a_stream(self, open_stream: Callable[[], Awaitable[ByteStream]]) -> None:
        if not await self._wait_for_unsent():
            return
        stream = await open_stream()
        broken = True
        try:
            while await self._wait_for_unsent():
                for message in self._messages():
                    await write_frame(stream, encode(message))
            broken = False
        finally:
            await close_quietly(stream, reset=broken)

    async def _wait_for_unsent(self) -> bool:
        """False after some quiet seconds; `sending` is None from then on, with no gap for a change to be lost in."""
        if not self._has_unsent:
            self._bell = trio.Event()
            with trio.move_on_after(QUIET_SECONDS):
                await self._bell.wait()
        if not self._has_unsent:
            self.sending = None
        return self._has_unsent

    @property
    def _has_unsent(self) -> bool:
        return bool(self._unsent or self._cancels or (self._full and self._standing))

    def _cancel(self, standing: _Standing) -> None:
        if standing.sent_as is not None:
            self._cancels[standing.sent_as] = None
            self._bell.set()

    def _messages(self) -> list[Message]:
        cancels = Message([Want(cid, cancel=True) for cid in self._cancels])
        if self._full:
            messages = [cancels, Message([standing.want for standing in self._standing.values()], full=True)]
        else:
            messages = [cancels, Message(list(self._unsent.values()))]
        self._full = False
        self._cancels.clear()
        self._unsent.clear()
        for standing in self._standing.values():
            standing.sent_as = standing.want.cid
        return [message for message in messages if message]
