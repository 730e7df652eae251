"""The real ElectrumX (PyPI `e-x`, extra `sandbox`) with a coin class for Doichain's regtest, as a process of its own.

    python -m pinning_worker.sandbox.electrumx_server

Settings come from the environment, as ElectrumX documents them, with COIN=Doichain and NET=regtest. ElectrumX looks
coins up among the attributes of its module `electrumx.lib.coins`, so the class is set there before its `main` runs.
Standard input is a leash: when it ends, the process that started this one is gone, and this one exits.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from electrumx.cli.electrumx_server import main
from electrumx.lib import coins
from electrumx.lib.script import OpCodes

from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST


class DoichainRegtest(coins.Namecoin):  # type: ignore[misc]  # electrumx has no types
    """Namecoin's indexing of names and AuxPow headers, with Doichain's numbers and its additional name operation."""

    NAME = "Doichain"
    SHORTNAME = "DOI"
    NET = "regtest"
    GENESIS_HASH = DOICHAIN_REGTEST.genesis_hash
    P2PKH_VERBYTE = bytes((DOICHAIN_REGTEST.p2pkh_prefix,))
    P2SH_VERBYTES = (bytes((DOICHAIN_REGTEST.p2sh_prefix,)),)
    TX_COUNT, TX_COUNT_HEIGHT, TX_PER_BLOCK = 1, 1, 1  # only for its estimate of how long the first sync takes
    RPC_PORT = 18445
    PEERS: tuple[str, ...] = ()
    NAME_EXPIRATION = DOICHAIN_REGTEST.name_life
    NAME_DOI_OPS = (OpCodes.OP_10, "name", -1, OpCodes.OP_2DROP, OpCodes.OP_DROP)
    NAME_OPERATIONS = (*coins.Namecoin.NAME_OPERATIONS, NAME_DOI_OPS)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    coins.DoichainRegtest = DoichainRegtest
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    main()
