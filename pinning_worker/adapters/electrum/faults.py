"""The ways in which an Electrum server can fail, whose fault each is, and what follows.

`LinkLost` is nobody's fault: the worker reconnects soon, and everything that the server showed still stands.
`ServerMisbehaved` is the server's: the worker avoids it for a long time, and drops all that this server alone showed
without a proof. `RequestRefused` is an ordinary answer.

`mend` says what an operator can do about it; it ends a line of the log and of `check-config --connect`.
"""

from __future__ import annotations

from typing import ClassVar

from pinning_worker.ports.world import Trouble


class ElectrumTrouble(Trouble):
    """An Electrum server did not fulfil a request."""

    mend: ClassVar[str] = "nothing, if another server answers; if it stays, name another one"


class LinkLost(ElectrumTrouble):
    """The connection failed or closed, or an answer missed its deadline."""


class Unreachable(LinkLost):
    """The connection could not be opened."""

    mend = "look at its address, its certificate and the firewall, or take it out of PINNING_ELECTRUM_SERVERS"


class OtherProtocol(LinkLost):
    """The peer is no Electrum server, or shares no protocol version with us."""

    mend = "name an ElectrumX that speaks protocol 1.4, or take it out of PINNING_ELECTRUM_SERVERS"


class BehindAnchor(LinkLost):
    """Its chain ends below the block from which we verify."""

    mend = "wait until it has caught up; one that stays there stopped before the relaunch: take it out of the list"


class BehindCheckpoint(BehindAnchor):
    """Its chain ends below the operator's checkpoint."""

    mend = "if all servers say so, correct PINNING_CHECKPOINT; else wait until this one has caught up"


class ServerMisbehaved(ElectrumTrouble):
    """The server broke the protocol, or claimed something that its proofs contradict."""

    mend = "take it out of PINNING_ELECTRUM_SERVERS if it goes on"


class TooMuch(ServerMisbehaved):
    """The server sent more than an honest server ever has to send."""

    mend = "no honest server sends that: take it out of PINNING_ELECTRUM_SERVERS if it does so again"


class OtherNetwork(ServerMisbehaved):
    """Its genesis block is not our network's."""

    mend = "set PINNING_NETWORK to the network that is meant, or take the server out of PINNING_ELECTRUM_SERVERS"


class DeadChain(ServerMisbehaved):
    """The server follows the chain that old nodes continued after the split."""

    mend = "its node is older than doichain-core 31.1: have it upgraded, or take it out of PINNING_ELECTRUM_SERVERS"


class OtherAnchor(ServerMisbehaved):
    """It has another block than the anchor."""

    mend = "it follows another chain: take it out of PINNING_ELECTRUM_SERVERS"


class OtherCheckpoint(ServerMisbehaved):
    """It has another block than the operator's checkpoint."""

    mend = "if other servers say the same, correct PINNING_CHECKPOINT; else take this one out of the list"


class WrongPast(ElectrumTrouble):
    """The server has another past than our chain, or a damaged one. It may be honest about payments, and is asked for
    those as before."""

    mend = "nothing, if another server has the past"


class RequestRefused(ElectrumTrouble):
    """The server answered with an error. `code` is JSON-RPC's, `message` its own words (cut to 500 characters)."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message[:500]
        super().__init__(f"{self.message} ({code})")
