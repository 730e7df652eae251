"""What can go wrong with an Electrum server, by whose fault it is and what follows.

`LinkLost` is nobody's: connect again, soon, and what the server said still stands. `ServerMisbehaved` is the server's:
let it go for long, and forget what it alone said without a proof. `RequestRefused` is an answer like any other.
"""

from __future__ import annotations

from pinning_worker.ports import Trouble


class ElectrumTrouble(Trouble):
    """An Electrum server did not do what was asked of it."""


class LinkLost(ElectrumTrouble):
    """No connection, none any more, or no answer in time."""


class ServerMisbehaved(ElectrumTrouble):
    """The server broke the protocol, or said what its proofs do not bear out."""


class RequestRefused(ElectrumTrouble):
    """The server answered with an error. `code` is JSON-RPC's, `message` its own words (cut to 500 characters)."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message[:500]
        super().__init__(f"{self.message} ({code})")
