"""The reason why the node refuses a transaction or a request."""

from __future__ import annotations


class Rejected(Exception):
    """The node refuses it. The text begins with doichain-core's own reason, where there is one."""
