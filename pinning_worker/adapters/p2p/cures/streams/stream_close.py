"""A stream that is closed must give its place back, even when the caller stops waiting for the FIN or RST to be sent.

The fault: a peer on a thin line costs a place for a stream with each FIN or RST that a deadline cuts short: one of 256
on its connection, and one of all that the host may have open, as long as the connection lives. When they are used up no
stream can be opened any more, to anybody. Why: the place is given back after the frame was sent, and a cancellation
comes before that; nor does the peer ever learn of it, so it keeps a place on its side. Where: `YamuxStream.close` and
`.reset`, `NetStream.close` and `.reset`.

The cure: a task of the connection sends the frame, to its end. The caller may stop waiting for it, and the host's place
is free.

Upstream: not reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from pinning_worker.adapters.p2p.cures.once import replace

End = Callable[[YamuxStream], Awaitable[None]]
EndNet = Callable[[NetStream], Awaitable[None]]


def mend() -> None:
    for name in ("close", "reset"):
        replace(YamuxStream, name, _by_the_connection)
        replace(NetStream, name, _and_give_back)


def _by_the_connection(stock: End) -> End:
    async def mended(self: YamuxStream) -> None:
        over, raised = trio.Event(), []

        async def send_end() -> None:
            try:
                await stock(self)
            except Exception as error:  # noqa: BLE001  handed to the caller that waits for it
                raised.append(error)
            finally:
                over.set()

        nursery = self.conn._nursery
        try:
            if nursery is None:
                return await stock(self)
            nursery.start_soon(send_end)
        except RuntimeError:  # the nursery has ended, and the connection with it
            return await stock(self)
        await over.wait()
        if raised:
            raise raised[0]
        return None

    return mended


def _and_give_back(stock: EndNet) -> EndNet:
    async def mended(self: NetStream) -> None:
        try:
            await stock(self)
        finally:
            if not self._resource_released:
                with trio.CancelScope(shield=True):  # the listeners that it calls wait for nothing
                    await self.remove()

    return mended
