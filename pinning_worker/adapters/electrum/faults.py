"""What can go wrong with an Electrum server, by whose fault it is and what follows.

`LinkLost` is nobody's: connect again, soon, and what the server said still stands. `ServerMisbehaved` is the server's:
let it go for long, and forget what it alone said without a proof. `RequestRefused` is an answer like any other.

`mend` says what an operator can do about it; it ends a line of the log and of `check-config --connect`.
"""

from __future__ import annotations

from typing import ClassVar

from pinning_worker.ports.world import Trouble


class ElectrumTrouble(Trouble):
    """An Electrum server did not do what was asked of it."""

    mend: ClassVar[str] = "nothing, if another server answers; if it stays, name another one"


class LinkLost(ElectrumTrouble):
    """No connection, none any more, or no answer in time."""


class Unreachable(LinkLost):
    """No connection came about."""

    mend = "look at its address, its certificate and the firewall, or take it out of PINNING_ELECTRUM_SERVERS"


class OtherProtocol(LinkLost):
    """It is no Electrum server, or speaks no version that we speak."""

    mend = "name an ElectrumX that speaks protocol 1.4, or take it out of PINNING_ELECTRUM_SERVERS"


class BehindAnchor(LinkLost):
    """Its chain ends below the block from which we verify."""

    mend = "wait until it has caught up; one that stays there stopped before the relaunch: take it out of the list"


class BehindCheckpoint(BehindAnchor):
    """Its chain ends below the operator's checkpoint."""

    mend = "if all servers say so, correct PINNING_CHECKPOINT; else wait until this one has caught up"


class ServerMisbehaved(ElectrumTrouble):
    """The server broke the protocol, or said what its proofs do not bear out."""

    mend = "take it out of PINNING_ELECTRUM_SERVERS if it goes on"


class TooMuch(ServerMisbehaved):
    """It sent more than any honest server has to send."""

    mend = "no honest server sends that: take it out of PINNING_ELECTRUM_SERVERS if it does so again"


class OtherNetwork(ServerMisbehaved):
    """Its genesis block is not our network's."""

    mend = "set PINNING_NETWORK to the network that is meant, or take the server out of PINNING_ELECTRUM_SERVERS"


class DeadChain(ServerMisbehaved):
    """It follows the chain that old nodes went on with after the split."""

    mend = "its node is older than doichain-core 31.1: have it upgraded, or take it out of PINNING_ELECTRUM_SERVERS"


class OtherAnchor(ServerMisbehaved):
    """It has another block than the anchor."""

    mend = "it follows another chain: take it out of PINNING_ELECTRUM_SERVERS"


class OtherCheckpoint(ServerMisbehaved):
    """It has another block than the operator's checkpoint."""

    mend = "if other servers say the same, correct PINNING_CHECKPOINT; else take this one out of the list"


class RequestRefused(ElectrumTrouble):
    """The server answered with an error. `code` is JSON-RPC's, `message` its own words (cut to 500 characters)."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message[:500]
        super().__init__(f"{self.message} ({code})")
