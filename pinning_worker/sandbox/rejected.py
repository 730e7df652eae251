"""Why the node takes a transaction or a request not."""

from __future__ import annotations


class Rejected(Exception):
    """The node refuses it. The text begins with the reason in doichain-core's words, where it has words for it."""
