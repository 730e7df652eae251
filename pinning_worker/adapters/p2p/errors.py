"""Faults of the host that a person can do something about."""

from __future__ import annotations


class HostError(Exception):
    """The libp2p host cannot do its task. The text names the address or peer, and says why."""


class BadAddress(HostError, ValueError):
    """Not a multiaddr, or not one for this use."""


class CannotListen(HostError):
    """An address to listen on is not available: in use, not ours, or forbidden."""


class BadCertificate(CannotListen):
    """The certificate or its key cannot be used. The text names the files, and says what to do."""


class CannotConnect(HostError):
    """No connection to that address within the deadline."""


class NoCircuit(CannotConnect):
    """No connection through that relay. The text gives the relay's answer, or how the attempt ended."""


def root_cause(error: BaseException) -> str:
    """The last line of a chain of exceptions, which names the reason."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return str(error) or type(error).__name__
