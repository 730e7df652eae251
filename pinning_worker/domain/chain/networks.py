"""The networks, one literal row each: the differences between Doichain's mainnet, testnet and regtest, and Namecoin.

From doichain-core 31.1, `src/kernel/chainparams.cpp` and `src/consensus/params.h`. Hashes are hex in display order. A
test may make a row of its own with `dataclasses.replace`, for example one that retargets every 16 blocks.

Mainnet stood still at 431 016 and was relaunched with new rules from 431 017 on. Below that block no node enforced the
difficulty, so work verifies nothing there: the anchor is above it. Old nodes continued a chain of their own, longer and
dead; block 431 018 tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pinning_worker.domain.chain.mainnet_context import MAINNET_CONTEXT
from pinning_worker.domain.money.swartz import Swartz

BLOCK_SPACING_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Anchor:
    """The block whose hash is known in advance, and commits to everything below: verification starts above it.

    `context`: the headers up to and including it, 80 bytes each, as far as later rules look back (`anchor.py`). Empty:
    a server delivers them; the hash commits to its answer.
    """

    height: int
    block_hash: str
    context: bytes = b""


@dataclass(frozen=True, slots=True)
class PinnedBlock:
    """The block that the right chain has at this height."""

    height: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class NoRetarget:
    """Every header has the bits of the one before."""


@dataclass(frozen=True, slots=True)
class Retarget2016:
    """Bitcoin's rule: every `interval` blocks the target follows their duration."""

    interval: int = 2016


@dataclass(frozen=True, slots=True)
class DigiShield:
    """DigiShield v3: from `fork_height` on the target of every block follows the 17 before it.

    `reset_bits` hold for the first 28 blocks of the fork (None: they follow the rule, too). A block whose time is more
    than `gap_seconds` after its parent's may be `factor` times easier.
    """

    fork_height: int
    reset_bits: int | None
    gap_seconds: int = 3600
    factor: int = 4


Difficulty = NoRetarget | Retarget2016 | DigiShield


@dataclass(frozen=True, slots=True)
class Network:
    """One network's rules, for a verifier of headers, payments and addresses."""

    name: str
    genesis_hash: str
    p2pkh_prefix: int
    p2sh_prefix: int
    wif_prefix: int
    bech32_hrp: str
    pow_limit: int
    auxpow_chain_id: int
    auxpow_from_height: int
    auxpow_strict: bool  # every header carries our chain id, and the parent's header another
    difficulty: Difficulty
    block_spacing: int  # in seconds
    blocks_on_demand: bool  # blocks come only on demand: an old tip does not mean that a server is cut off
    name_life: int  # blocks until a name expires (mainnet below height 48 000 had less)
    months_sold_max: int  # limited by the life of a name; on regtest names live shorter than any pin
    least_name_amount: Swartz  # in a name output; mainnet requires it from height 212 500 on
    anchor: Anchor | None  # None: no block is built in, the operator must name a checkpoint
    split_block: PinnedBlock | None  # it distinguishes the chain from the dead fork
    checkpoint: PinnedBlock | None = None  # the operator's

    @property
    def pinned_blocks(self) -> tuple[PinnedBlock, ...]:
        return tuple(block for block in (self.split_block, self.checkpoint) if block is not None)


class BadCheckpoint(ValueError):
    """Verification cannot start from this block; the text ends a sentence that begins with the setting."""


def least_checkpoint(network: Network) -> int:
    """The lowest height for an operator's checkpoint: above the anchor of the row, and in a range with enforced
    difficulty."""
    fork = network.difficulty.fork_height if isinstance(network.difficulty, DigiShield) else 0
    return max(fork, network.anchor.height + 1 if network.anchor else 1)


def with_checkpoint(network: Network, checkpoint: PinnedBlock | None) -> Network:
    """The row with the operator's checkpoint: every chain must have that block, and a new one starts there.

    Raises BadCheckpoint.
    """
    if checkpoint is None:
        if network.anchor is None:
            raise BadCheckpoint(
                f"is not set, and no block of {network.name} is built in to verify from: name one that a node of yours "
                f"knows, at {least_checkpoint(network)} or above, as HEIGHT:HASH (`getblockhash HEIGHT` tells the hash)"
            )
        return network
    if checkpoint.height < (least := least_checkpoint(network)):
        why = "the block before that is built in" if network.anchor else "below that no difficulty was enforced"
        raise BadCheckpoint(f"is at {checkpoint.height}, and must be at {least} or above: {why}")
    return replace(network, checkpoint=checkpoint, anchor=Anchor(checkpoint.height, checkpoint.block_hash))


def starting_lower(network: Network, checkpoint: PinnedBlock, needed_from: int) -> Network:
    """The row with the operator's checkpoint, and a new chain that starts at the row's own anchor: for a worker whose
    payments or name index need block `needed_from`, below the checkpoint. Raises BadCheckpoint.
    """
    if network.anchor is None:
        raise BadCheckpoint(
            f"is at {checkpoint.height}, and this worker knows of payments or names from block {needed_from} on: "
            "name a block below that"
        )
    return replace(network, checkpoint=checkpoint)


DOICHAIN = Network(
    name="doichain",
    genesis_hash="000006fdd8b4d786fd9bdde5bae9486c464e3aa4336c5f8415dfdd3fc1679134",
    p2pkh_prefix=52,
    p2sh_prefix=13,
    wif_prefix=180,
    bech32_hrp="dc",
    pow_limit=(1 << 240) - 1,
    auxpow_chain_id=2,
    auxpow_from_height=1,
    auxpow_strict=False,
    difficulty=DigiShield(fork_height=431_017, reset_bits=0x1A0400CD),
    block_spacing=BLOCK_SPACING_SECONDS,
    blocks_on_demand=False,
    name_life=36_000,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    anchor=Anchor(
        height=431_423,
        block_hash="0347f3ff5e5fb966e4df0f6ba882712c79ba054e1314dbd3ec7288fb5739fbd4",
        context=MAINNET_CONTEXT,
    ),
    split_block=PinnedBlock(
        height=431_018,
        block_hash="71d50ff12b090561cc918ddb560334b4350758c7eace3f058dd332fb112f4b67",
    ),
)

DOICHAIN_TEST = Network(
    name="doichain-test",
    genesis_hash="0000cd7572b3ecc78b7cddf49eda95e718d4df77c236ca2e375125e111e7e9c4",
    p2pkh_prefix=111,
    p2sh_prefix=196,
    wif_prefix=239,
    bech32_hrp="td",
    pow_limit=(1 << 244) - 1,  # its genesis (bits 1f08ffff) would not pass mainnet's
    auxpow_chain_id=3,
    auxpow_from_height=1,
    auxpow_strict=False,
    difficulty=DigiShield(fork_height=300_000, reset_bits=None),
    block_spacing=BLOCK_SPACING_SECONDS,
    blocks_on_demand=False,
    name_life=36_000,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    anchor=None,  # no recorded headers
    split_block=None,
)

_REGTEST_GENESIS_HASH = "0231881e96d6690eb00bb69cd8e221df3564e2cd95829d47d131ed5110a34e9d"
DOICHAIN_REGTEST = Network(
    name="doichain-regtest",
    genesis_hash=_REGTEST_GENESIS_HASH,
    p2pkh_prefix=111,
    p2sh_prefix=196,
    wif_prefix=239,
    bech32_hrp="ncrt",
    pow_limit=(1 << 255) - 1,
    auxpow_chain_id=1,
    auxpow_from_height=0,
    auxpow_strict=True,
    difficulty=NoRetarget(),
    block_spacing=BLOCK_SPACING_SECONDS,
    blocks_on_demand=True,
    name_life=30,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    anchor=Anchor(0, _REGTEST_GENESIS_HASH),
    split_block=None,
)

# Doichain's elder sister, after Namecoin Core `src/kernel/chainparams.cpp` and ElectrumX's class `Namecoin`; recorded
# headers pass by this row. Names are registered and updated by NAME_NEW, NAME_FIRSTUPDATE and NAME_UPDATE; there is no
# NAME_DOI. Base58 addresses of the two mainnets look alike.
NAMECOIN = Network(
    name="namecoin",
    genesis_hash="000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770",
    p2pkh_prefix=52,
    p2sh_prefix=13,
    wif_prefix=180,
    bech32_hrp="nc",
    pow_limit=(1 << 224) - 1,
    auxpow_chain_id=1,
    auxpow_from_height=19_200,
    auxpow_strict=True,
    difficulty=Retarget2016(),
    block_spacing=BLOCK_SPACING_SECONDS,
    blocks_on_demand=False,
    name_life=36_000,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    anchor=None,  # the newest recorded header is of 2012
    split_block=None,
)

NETWORKS = {network.name: network for network in (DOICHAIN, DOICHAIN_TEST, DOICHAIN_REGTEST, NAMECOIN)}
