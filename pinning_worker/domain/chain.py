"""The Doichain networks, one literal row each: what differs between mainnet, testnet and regtest.

From doichain-core, `src/chainparams.cpp` and `src/consensus/params.h`. Hashes are hex in display order. A test may make
a row of its own with `dataclasses.replace`, for example one that retargets every 16 blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

from pinning_worker.domain.money import Swartz

RETARGET_INTERVAL = 2016
BLOCK_SPACING_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block whose hash and total chain work (expected hashes, genesis included) are known beforehand."""

    height: int
    block_hash: str
    work: int


@dataclass(frozen=True, slots=True)
class PinnedBlock:
    """The block that a chain must have at this height to be the one that is meant."""

    height: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Network:
    """One network's rules, as far as a verifier of headers, payments and addresses needs them."""

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
    retargeting: bool  # without it every header has the bits of the one before
    retarget_interval: int  # in blocks
    block_spacing: int  # in seconds
    name_life: int  # blocks until a name expires (mainnet below height 48 000 had less)
    months_sold_max: int  # what fits into the life of a name; on regtest names live shorter than any pin
    least_name_amount: Swartz  # in a name output; mainnet asks for it from height 212 500 on
    checkpoint: Checkpoint | None
    split_block: PinnedBlock | None


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
    retargeting=True,
    retarget_interval=RETARGET_INTERVAL,
    block_spacing=BLOCK_SPACING_SECONDS,
    name_life=36_000,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    checkpoint=Checkpoint(
        height=500_000,
        block_hash="42c5147b7204a00ad0e56f167ed52e214da623a5459261db32d6da1687d601d6",
        work=0xBA50A60F8B56C7FE0,
    ),
    # The chain split after 431 017. A watcher that does not pin this block can be paid on the dead side.
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
    retargeting=True,
    retarget_interval=RETARGET_INTERVAL,
    block_spacing=BLOCK_SPACING_SECONDS,
    name_life=36_000,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    checkpoint=None,
    split_block=None,
)

DOICHAIN_REGTEST = Network(
    name="doichain-regtest",
    genesis_hash="0231881e96d6690eb00bb69cd8e221df3564e2cd95829d47d131ed5110a34e9d",
    p2pkh_prefix=111,
    p2sh_prefix=196,
    wif_prefix=239,
    bech32_hrp="ncrt",
    pow_limit=(1 << 255) - 1,
    auxpow_chain_id=1,
    auxpow_from_height=0,
    auxpow_strict=True,
    retargeting=False,
    retarget_interval=RETARGET_INTERVAL,
    block_spacing=BLOCK_SPACING_SECONDS,
    name_life=30,
    months_sold_max=8,
    least_name_amount=Swartz(1_000_000),
    checkpoint=None,
    split_block=None,
)

NETWORKS = {network.name: network for network in (DOICHAIN, DOICHAIN_TEST, DOICHAIN_REGTEST)}
