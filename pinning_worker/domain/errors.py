"""The codes of ERROR: the reason for a failed NEW-CID, and whether a repeat can help."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """One of nine codes; the value is the text on the wire."""

    BAD_REQUEST = "BAD_REQUEST"  # a typed request with a missing or wrong field
    BAD_CID = "BAD_CID"  # not a CID
    UNSUPPORTED = "UNSUPPORTED"  # a codec or hash that we don't read
    NOT_FOUND = "NOT_FOUND"  # no reachable peer sent the first block in time
    TIMEOUT = "TIMEOUT"  # blocks came, then stopped; the retry has those that came
    TOO_LARGE = "TOO_LARGE"  # over a budget: the message says which, and by how much
    BUSY = "BUSY"  # queue, peer's budget, staging quota or disk full; the chain cannot be seen
    DENIED = "DENIED"  # on the operator's denylist
    INTERNAL = "INTERNAL"  # our fault: the message carries the log's reference, no inner detail

    @property
    def again(self) -> bool:
        """Whether the same request may succeed later."""
        return self in (ErrorCode.NOT_FOUND, ErrorCode.TIMEOUT, ErrorCode.BUSY, ErrorCode.INTERNAL)
