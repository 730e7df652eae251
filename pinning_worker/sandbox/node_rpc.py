"""The node's JSON-RPC methods: those of doichaind that an ElectrumX calls, with its names and error codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinning_worker.domain.chain.address import script_to_address
from pinning_worker.domain.chain.nameop import parse_name_op
from pinning_worker.domain.chain.networks import DOICHAIN_REGTEST
from pinning_worker.domain.chain.transaction import Transaction, TxOutput
from pinning_worker.domain.identities import Txid
from pinning_worker.domain.money.swartz import SWARTZ_PER_DOI
from pinning_worker.sandbox.node import Node
from pinning_worker.sandbox.rejected import Rejected

Method = Callable[..., Any]

_RELAY_FEE = 0.00001  # DOI for 1000 bytes: reported, not enforced
_VERSION = 200000


def node_methods(node: Node) -> dict[str, Method]:
    """The methods by name; each takes its parameters by position and raises Rejected."""

    def getblockhash(height: int) -> str:
        if not 0 <= height <= node.height:
            raise Rejected("Block height out of range")
        return node.blocks[height].block_hash

    def getblock(block_hash: str, verbosity: int = 1) -> Any:
        height, block = node.block(block_hash)
        if not verbosity:
            return block.serialise().hex()
        return {"hash": block_hash, "height": height, "time": block.time, "tx": [tx.txid for tx in block.transactions]}

    def getrawtransaction(txid: Txid, verbose: int = 0) -> Any:
        height, transaction = node.transaction(txid)
        return _describe(node, height, transaction) if verbose else transaction.serialise().hex()

    def sendrawtransaction(raw: str) -> str:
        try:
            return node.broadcast(bytes.fromhex(raw))
        except ValueError as error:
            raise Rejected("TX decode failed: not hex") from error

    return {
        "getblockcount": lambda: node.height,
        "getblockhash": getblockhash,
        "getblock": getblock,
        "getrawmempool": lambda: list(node.mempool.transactions),
        "getrawtransaction": getrawtransaction,
        "sendrawtransaction": sendrawtransaction,
        "getblockchaininfo": lambda: {"chain": "regtest", "blocks": node.height, "mediantime": node.median_time},
        "getnetworkinfo": lambda: {"version": _VERSION, "subversion": "/sandbox/", "relayfee": _RELAY_FEE},
        "getmempoolinfo": lambda: {
            "size": len(node.mempool.transactions),
            "mempoolminfee": _RELAY_FEE,
            "minrelaytxfee": _RELAY_FEE,
            "incrementalrelayfee": _RELAY_FEE,
        },
        "estimatesmartfee": lambda blocks, mode=None: {"feerate": _RELAY_FEE, "blocks": blocks},
    }


def _describe(node: Node, height: int | None, transaction: Transaction) -> dict[str, Any]:
    """The verbose form, as far as anybody should read it: a worker requests the raw one and parses that itself."""
    description: dict[str, Any] = {
        "txid": transaction.txid,
        "version": transaction.version,
        "hex": transaction.serialise().hex(),
        "vin": [{"txid": each.prev_txid, "vout": each.prev_index} for each in transaction.inputs],
        "vout": [_describe_output(vout, output) for vout, output in enumerate(transaction.outputs)],
    }
    if height is None:
        return description
    block = node.blocks[height]
    confirmations = node.height - height + 1
    return description | {"blockhash": block.block_hash, "blocktime": block.time, "confirmations": confirmations}


def _describe_output(vout: int, output: TxOutput) -> dict[str, Any]:
    script: dict[str, Any] = {"hex": output.script.hex()}
    name_op = parse_name_op(output.script)
    if name_op:
        script["nameOp"] = {"op": name_op.op.name.lower()}
        script["nameOp"] |= {"name": _ascii(name_op.name), "value": _ascii(name_op.value)} if name_op.name else {}
    if address := script_to_address(name_op.address_script if name_op else output.script, DOICHAIN_REGTEST):
        script["addresses"] = [address]
    return {"n": vout, "value": output.amount.amount / SWARTZ_PER_DOI, "scriptPubKey": script}


def _ascii(text: bytes | None) -> str:
    return (text or b"").decode("ascii", "backslashreplace")
