"""What can go wrong with the host that a person can do something about."""

from __future__ import annotations


class HostError(Exception):
    """The libp2p host cannot do what was asked. The text names the address or peer, and says why."""


class BadAddress(HostError, ValueError):
    """Not a multiaddr, or not one that can be used so."""


class CannotListen(HostError):
    """An address to listen on is not to be had: in use, not ours, or forbidden."""


class CannotConnect(HostError):
    """No connection to that address within the deadline."""
