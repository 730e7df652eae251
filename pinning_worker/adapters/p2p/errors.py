"""What can go wrong with the host that a person can do something about."""

from __future__ import annotations


class HostError(Exception):
    """The libp2p host cannot do what was asked. The text names the address or peer, and says why."""


class BadAddress(HostError, ValueError):
    """Not a multiaddr, or not one that can be used so."""


class CannotListen(HostError):
    """An address to listen on is not to be had: in use, not ours, or forbidden."""


class BadCertificate(CannotListen):
    """The certificate or its key cannot be used. The text names the files, and says what to do."""


class CannotConnect(HostError):
    """No connection to that address within the deadline."""


class NoCircuit(CannotConnect):
    """No connection through that relay. The text says what the relay said, or what became of it."""


def root_cause(error: BaseException) -> str:
    """The last line of a chain of exceptions, where the reason stands."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return str(error) or type(error).__name__
