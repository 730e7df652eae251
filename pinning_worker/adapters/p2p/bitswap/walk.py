"""A DAG on its way: the next block, the cost so far, and at the end every block in walk order.

Pure bookkeeping; the session feeds it blocks, in whatever order they come. Walk order is depth first, links in the
order in which they stand, each block once: the order in which a file is read. Blocks that may link to others come
first, and among them the nearest to the root: they tell how much there is, so a DAG that is too large is refused after
its first hundreds of blocks. The size that the root states is believed if it is too much.

Rules: a block that is linked from many places is wanted once and counted once. Every limit is checked before more is
asked for, and the limit on blocks counts those merely linked to, so that a block full of links cannot fill the memory;
nor can one full of the same link: each link of a block is kept once, and one object stands for all of them. Depth is
that of the place where a block was first seen.
"""

from __future__ import annotations

from collections import deque

from pinning_worker.domain.content.cid import RAW, Cid, Root, UnsupportedCid
from pinning_worker.domain.content.dag import BadBlock, declared_bytes, links
from pinning_worker.domain.content.multihash import Multihash
from pinning_worker.ports.content import Budget, Limited, OverBudget, Unreadable


class Walk:
    """Call `next` for a CID to get, and `take` with its bytes; done when `next` is None and all were taken."""

    def __init__(self, root: Cid, budget: Budget) -> None:
        self.sizes: dict[Multihash, int] = {}
        self.bytes = 0
        self._root = root
        self._budget = budget
        self._nodes: deque[tuple[Cid, int]] = deque()
        self._leaves: deque[tuple[Cid, int]] = deque()
        self._seen: dict[Root, Cid] = {}
        self._children: dict[Root, tuple[Cid, ...]] = {}
        self._found((root,), 0)

    def next(self) -> tuple[Cid, int] | None:
        """(a CID not given before, its depth), or None: nothing to get until another block is taken."""
        for todo in (self._nodes, self._leaves):
            if todo:
                return todo.popleft()
        return None

    def children(self, cid: Cid, block: bytes) -> tuple[Cid, ...]:
        """The links of the block. Raises Unreadable: its hash is right, its content does not fit the codec. Raises
        OverBudget: it is the root, and states a size that is too large."""
        try:
            declared = declared_bytes(cid.codec, block) if cid == self._root else 0
            if declared > self._budget.max_bytes:
                raise self._over("bytes", self._budget.max_bytes, declared)
            return links(cid.codec, block)
        except (BadBlock, UnsupportedCid) as error:
            raise Unreadable(f"block {cid}: {error}", self.sizes) from error

    def charge(self, multihash: Multihash, size: int) -> None:
        """Checks, before a block is stored, that it fits the budget. Raises OverBudget."""
        if multihash not in self.sizes and self.bytes + size > self._budget.max_bytes:
            raise self._over("bytes", self._budget.max_bytes, self.bytes + size)

    def take(self, cid: Cid, depth: int, size: int, children: tuple[Cid, ...]) -> None:
        """The block of a CID is held now. Raises OverBudget, Unreadable (it links to a codec or hash that we don't
        read)."""
        self.charge(cid.multihash, size)
        if cid.multihash not in self.sizes:
            self.sizes[cid.multihash] = size
            self.bytes += size
        if children:
            self._children[cid.key] = self._found(children, depth + 1)

    def in_order(self) -> dict[Multihash, int]:
        """Multihash and size of every block taken, in walk order."""
        ordered: dict[Multihash, int] = {}
        walked: set[Root] = set()
        todo = [self._root]
        while todo:
            cid = todo.pop()
            if cid.key in walked or cid.multihash not in self.sizes:
                continue
            walked.add(cid.key)
            ordered.setdefault(cid.multihash, self.sizes[cid.multihash])
            todo.extend(reversed(self._children.get(cid.key, ())))
        return ordered

    def _found(self, cids: tuple[Cid, ...], depth: int) -> tuple[Cid, ...]:
        """Each of them once, in order; the new ones become blocks to get."""
        if depth > self._budget.max_depth:
            raise self._over("depth", self._budget.max_depth, depth)
        each: dict[Root, Cid] = {}
        fresh = []
        for cid in cids:
            key = cid.key
            if key not in self._seen:
                self._seen[key] = self._readable(cid)
                fresh.append((cid, depth))
            each[key] = self._seen[key]
        if len(self._seen) > self._budget.max_blocks:
            raise self._over("blocks", self._budget.max_blocks, len(self._seen))
        for place in fresh:
            (self._leaves if place[0].codec == RAW else self._nodes).append(place)
        return tuple(each.values())

    def _readable(self, cid: Cid) -> Cid:
        try:
            return cid.require_supported()
        except UnsupportedCid as error:
            raise Unreadable(f"{cid}: {error}", self.sizes) from error

    def _over(self, limited: Limited, limit: int, got: int) -> OverBudget:
        return OverBudget(limited, limit, got, self.sizes)
