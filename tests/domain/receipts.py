"""A signed receipt over a real header with real work, and each piece that it is made of."""

from __future__ import annotations

from datetime import UTC, datetime

from pinning_worker.adapters.memory.signer import MemorySigner
from pinning_worker.domain.chain.headers import Header, parse_header
from pinning_worker.domain.chain.nameop import NAME_TX_VERSION, name_doi_script
from pinning_worker.domain.chain.transaction import Transaction, TxInput, TxOutput, double_sha256, merkle_root
from pinning_worker.domain.content.cid import DAG_PB, cid_of
from pinning_worker.domain.identities import NameBytes, Script, Txid
from pinning_worker.domain.money.pricing import add_months
from pinning_worker.domain.money.signed_receipt import Purchase, SignedReceipt, sign_receipt
from pinning_worker.domain.money.swartz import Swartz
from tests.mining import REGTEST_GENESIS, mine

SIGNER = MemorySigner()
CID = str(cid_of(DAG_PB, b"art"))
OURS = Script(b"\x00\x14" + b"\x07" * 20)
HEIGHT, POSITION, MONTHS = 1, 1, 8
NEIGHBOURS = [Txid(f"{number:02x}" * 32) for number in (1, 2)]


def payment(name: bytes = b"art/1", value: bytes = f"ipfs://{CID}".encode()) -> Transaction:
    return Transaction(
        NAME_TX_VERSION,
        (TxInput(Txid("ab" * 32), 0, b"\x51"),),
        (
            TxOutput(Swartz(1_000_000), name_doi_script(NameBytes(name), value, OURS)),
            TxOutput(Swartz(7_000_000), OURS),
            TxOutput(Swartz(4_482), OURS),
        ),
    )


def block_of(transaction: Transaction) -> tuple[Header, tuple[str, ...]]:
    """A block of three transactions, and the branch of this one at POSITION. The last one has itself as its sibling."""
    first, last = NEIGHBOURS
    right = double_sha256(bytes.fromhex(last)[::-1] * 2)
    root = double_sha256(merkle_root([first, transaction.txid]) + right)
    return parse_header(mine(REGTEST_GENESIS, merkle_root=root)), (first, right[::-1].hex())


def purchase(transaction: Transaction | None = None) -> Purchase:
    paid = transaction or payment()
    header, branch = block_of(paid)
    starts = datetime.fromtimestamp(header.time, UTC)
    return Purchase(
        cid=CID,
        size=1_237_320,
        blocks=7,
        name_id="art/1",
        months=MONTHS,
        starts=starts,
        ends=add_months(starts, MONTHS),
        amount=Swartz(7_004_482),
        network="doichain-regtest",
        txid=paid.txid,
        vouts=(1, 2),
        transaction=paid.serialise_base(),
        height=HEIGHT,
        block_hash=header.block_hash,
        header=header.raw,
        position=POSITION,
        branch=branch,
        quote="5f2c9a",
        tariff=1,
        tariff_hash="5a" * 32,
        worker=SIGNER.peer_id,
    )


def receipt(content: Purchase | None = None) -> SignedReceipt:
    return sign_receipt(content or purchase(), SIGNER.sign)
