"""Requests and answers over frames: JSON-RPC 2.0, its bytes by aiorpcx, its bookkeeping here (aiorpcx's is asyncio).

- Every request has a number of its own; answers may come in any order. An answer to no request of ours, or one that is
  neither result nor error, is the server's fault.
- A notification only says "look again": it goes to `notify` at once, nothing is queued, so nothing can overflow.
- Many requests go in batches of 100, four at a time: ElectrumX holds back each small answer on tcp and ssl for up to a
  second, batches 4 000 times as many requests through the same second.
- Every answer has a deadline. A server that misses it is stalled: the link closes, and all pending requests fail.
- A frame is measured before it is parsed (`bounds.py`): by the pending requests, and a notification besides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count, islice
from typing import NoReturn

import trio
from aiorpcx.jsonrpc import Batch, JSONRPCv2, Notification, ProtocolError, Request, Response, RPCError

from pinning_worker.adapters.electrum.bounds import NOTHING, NOTIFICATION, Bound, Talk, answer_bound, sum_of
from pinning_worker.adapters.electrum.faults import (
    ElectrumTrouble,
    LinkLost,
    RequestRefused,
    ServerMisbehaved,
    TooMuch,
)
from pinning_worker.adapters.electrum.frames import Frames
from pinning_worker.adapters.electrum.pace import COST_OF_CALL, COST_OF_ERROR, COST_OF_METHOD, Pace

BATCH_SIZE = 100
BATCHES_AT_ONCE = 4

Call = tuple[str, Sequence[object]]
Notify = Callable[[str, Sequence[object]], None]


class _Pending:
    """One pending request: its result, or the reason why there is none."""

    __slots__ = ("answered", "bound", "result")

    def __init__(self, method: str) -> None:
        self.answered, self.bound = trio.Event(), answer_bound(method)
        self.result: object = None

    def settle(self, result: object) -> None:
        self.result = result
        self.answered.set()


class Wire:
    """The client's end of one connection. `read` runs beside the calls, for as long as the connection is used.

    `notify` is called with every notification's method and parameters (it may raise ServerMisbehaved); `at_end` once or
    more when the link closes.
    """

    def __init__(
        self, frames: Frames, notify: Notify, at_end: Callable[[], None], pace: Pace, answer_seconds: float = 30.0
    ) -> None:
        self._frames, self._notify, self._at_end = frames, notify, at_end
        self._pace, self._answer_seconds = pace, answer_seconds
        self._ids = count(1)
        self._pending: dict[int, _Pending] = {}
        self._sending = trio.Lock()
        self._fault: ElectrumTrouble | None = None
        self._awaited, self._talk = NOTHING, Talk()

    # --- asking

    async def call(self, method: str, *params: object) -> object:
        """Returns the result. Raises RequestRefused, LinkLost, ServerMisbehaved."""
        (pending,) = await self._send([(method, params)])
        result = await self._result_of(pending)
        if isinstance(result, RequestRefused):
            raise result
        return result

    async def batch(self, calls: Iterable[Call]) -> list[object]:
        """Returns the results in the order of the calls; a RequestRefused stands in place of each result that the
        server refused.

        Raises LinkLost, ServerMisbehaved.
        """
        results: list[object] = []
        window: deque[list[_Pending]] = deque()
        remaining = iter(calls)
        while part := list(islice(remaining, BATCH_SIZE)):
            if len(window) == BATCHES_AT_ONCE:
                results += [await self._result_of(pending) for pending in window.popleft()]
            window.append(await self._send(part))
        for sent in window:
            results += [await self._result_of(pending) for pending in sent]
        return results

    def give_up(self, fault: ElectrumTrouble) -> None:
        """Closes the link for all callers that wait on it; the first fault counts."""
        if self._fault is None:
            self._fault = fault
        for pending in self._pending.values():
            pending.settle(self._fault)
        self._pending.clear()
        self._awaited = NOTHING
        self._at_end()

    def require_link(self) -> None:
        """Raises the fault that closed the link, if there is one."""
        if self._fault is not None:
            raise self._fault

    async def _send(self, calls: Sequence[Call]) -> list[_Pending]:
        self.require_link()
        ids = list(islice(self._ids, len(calls)))
        sent = [_Pending(method) for method, _ in calls]
        self._pending.update(zip(ids, sent, strict=True))
        self._awaited += sum_of(pending.bound for pending in sent)
        self._pace.spend(sum(COST_OF_METHOD.get(method, COST_OF_CALL) for method, _ in calls))
        await self._send_frame(_encode(calls, ids))
        return sent

    async def _send_frame(self, frame: bytes) -> None:
        whole = False
        try:
            with trio.fail_after(self._answer_seconds):
                async with self._sending:
                    await self._frames.send(frame)
                    whole = True
        except trio.TooSlowError:
            self._lose(LinkLost("the server does not read what it is sent"))
        except LinkLost as fault:
            self._lose(fault)
        finally:
            if not whole:  # half a frame may have been sent: nothing can follow it
                self.give_up(LinkLost("a request was broken off"))

    async def _result_of(self, pending: _Pending) -> object:
        try:
            with trio.fail_after(self._answer_seconds):
                await pending.answered.wait()
        except trio.TooSlowError:
            self._lose(LinkLost(f"no answer within {self._answer_seconds:g} s"))
        if isinstance(pending.result, LinkLost | ServerMisbehaved):
            raise pending.result
        return pending.result

    def _lose(self, fault: ElectrumTrouble) -> NoReturn:
        self.give_up(fault)
        raise self._fault or fault

    # --- hearing

    async def read(self) -> None:
        """Reads frames until the link is lost or the server misbehaves, then fails pending requests. Never raises."""
        try:
            while True:
                frame = await self._frames.receive(lambda: self._bound.size)
                self._pace.spend_bytes(len(frame))
                if excess := self._bound.exceeded_by(frame):
                    raise TooMuch(f"a message of {excess}")
                self._take(frame)
        except (LinkLost, ServerMisbehaved) as fault:
            self.give_up(fault)
        finally:
            self.give_up(LinkLost("the connection was closed"))

    @property
    def _bound(self) -> Bound:
        """The bound of the next frame."""
        return self._awaited + NOTIFICATION

    def _take(self, frame: bytes) -> None:
        try:
            item, number = JSONRPCv2.message_to_item(frame)
            if isinstance(item, list):
                for payload in item:
                    # The one way to read the members of a batch; private, hence the exact version in pyproject.toml.
                    answer, of = JSONRPCv2._process_response(payload)
                    self._settle(answer, of)
            elif isinstance(item, Response):
                self._settle(item, number)
            elif isinstance(item, Notification):
                self._take_notification(item, len(frame))
            else:
                raise ServerMisbehaved("a request: it is the server that is asked")
        except (ProtocolError, ValueError, RecursionError) as error:  # endless nesting; a number of 5 000 digits
            raise ServerMisbehaved(f"not JSON-RPC: {str(error)[:200]}") from error

    def _take_notification(self, notification: Notification, size: int) -> None:
        if self._talk.is_too_much(size, trio.current_time()):
            raise TooMuch("news without end")
        if not isinstance(notification.args, list):
            raise ServerMisbehaved("a notification without a list of parameters")
        self._notify(notification.method, notification.args)

    def _settle(self, answer: Response, number: object) -> None:
        if number is None and isinstance(answer.result, RPCError):
            raise LinkLost(f"the server complains: {str(answer.result.message)[:200]}")
        pending = self._pending.pop(number, None) if type(number) is int else None
        if pending is None:
            raise ServerMisbehaved("an answer to nothing that was asked")
        self._awaited -= pending.bound
        result = answer.result
        if isinstance(result, RPCError):
            self._pace.spend(COST_OF_ERROR)
            pending.settle(RequestRefused(result.code, result.message))
        else:
            pending.settle(result)


def _encode(calls: Sequence[Call], ids: Sequence[int]) -> bytes:
    requests = [Request(method, list(params)) for method, params in calls]
    if len(requests) == 1:
        frame: bytes = JSONRPCv2.request_message(requests[0], ids[0])
    else:
        frame = JSONRPCv2.batch_message(Batch(requests), ids)
    return frame
