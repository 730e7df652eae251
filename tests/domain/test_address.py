"""Addresses: known vectors of BIP173 and BIP350, round trips on every network, and whose address it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinning_worker.domain.chain.address import (
    BadAddress,
    address_to_script,
    base58check_encode,
    p2pkh_script,
    p2sh_script,
    script_to_address,
    scripthash,
    witness_script,
)
from pinning_worker.domain.chain.networks import DOICHAIN, DOICHAIN_REGTEST, DOICHAIN_TEST, NETWORKS, Network
from pinning_worker.domain.identities import Script

BITCOIN = replace(DOICHAIN, name="bitcoin", p2pkh_prefix=0, p2sh_prefix=5, bech32_hrp="bc")
BITCOIN_TEST = replace(DOICHAIN, name="bitcoin-test", p2pkh_prefix=111, p2sh_prefix=196, bech32_hrp="tb")

hash20, hash32 = st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)
address_scripts = st.one_of(
    hash20.map(p2pkh_script),
    hash20.map(p2sh_script),
    hash20.map(lambda program: witness_script(0, program)),
    hash32.map(lambda program: witness_script(0, program)),
    hash32.map(lambda program: witness_script(1, program)),
)
networks = st.sampled_from(list(NETWORKS.values()))


@pytest.mark.parametrize(
    ("network", "address", "script"),
    [
        (BITCOIN, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
        (BITCOIN, "3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87"),
        (BITCOIN, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
        (
            BITCOIN_TEST,
            "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy",
            "0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
        ),
        (
            BITCOIN,
            "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        ),
    ],
)
def test_known_vectors(network: Network, address: str, script: str) -> None:
    assert address_to_script(address, network).hex() == script
    expected = address.lower() if address.isupper() else address
    assert script_to_address(Script(bytes.fromhex(script)), network) == expected


@given(networks, address_scripts)
def test_an_address_leads_back_to_its_script(network: Network, script: Script) -> None:
    address = script_to_address(script, network)
    assert address is not None
    assert address_to_script(address, network) == script


@given(address_scripts)
def test_mainnet_and_the_others_never_take_each_others_addresses(script: Script) -> None:
    for network, others in ((DOICHAIN, DOICHAIN_TEST), (DOICHAIN_TEST, DOICHAIN), (DOICHAIN_REGTEST, DOICHAIN)):
        address = script_to_address(script, others)
        assert address is not None
        with pytest.raises(BadAddress, match=f"an address of {others.name}"):
            address_to_script(address, network)


def test_bech32_tells_testnet_from_regtest_and_base58_cannot() -> None:
    segwit = script_to_address(witness_script(0, bytes(20)), DOICHAIN_TEST)
    assert segwit is not None
    with pytest.raises(BadAddress, match="an address of doichain-test"):
        address_to_script(segwit, DOICHAIN_REGTEST)
    base58 = script_to_address(p2pkh_script(bytes(20)), DOICHAIN_TEST)
    assert base58 is not None
    with pytest.raises(BadAddress, match="an address of doichain-test or doichain-regtest"):
        address_to_script(base58, DOICHAIN)


def test_a_bitcoin_address_is_of_no_doichain_network() -> None:
    with pytest.raises(BadAddress, match="not an address of any Doichain network"):
        address_to_script("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", DOICHAIN)


@given(networks, address_scripts, st.data())
def test_one_wrong_character_is_noticed(network: Network, script: Script, data: st.DataObject) -> None:
    """bech32 promises it for any one; Base58Check misses one in four thousand millions."""
    address = script_to_address(script, network)
    assert address is not None
    at = data.draw(st.integers(0, len(address) - 1))
    other = data.draw(st.sampled_from("abcxyz23456789").filter(lambda character: character != address[at].lower()))
    with pytest.raises(BadAddress):
        address_to_script(address[:at] + other + address[at + 1 :], network)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "checksum"),
        ("bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "mixed"),
        ("bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4", "not an address"),
        ("bc1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum"),  # bech32m where bech32 is due
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", "checksum"),  # and the other way round
        ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "length"),
        ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf", "padding"),  # five bits of it
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "version 2"),
        ("bc1sw50qgdz25jxtdg4y5r3zarvary0c5xw7kqqqqqqqqqqqq", "version 16"),
    ],
)
def test_invalid_vectors(address: str, why: str) -> None:
    with pytest.raises(BadAddress, match=why):
        address_to_script(address, BITCOIN)


def test_padding_that_is_not_zero_is_refused() -> None:
    """BIP350: otherwise a script would have several addresses."""
    with pytest.raises(BadAddress, match="padding"):
        address_to_script("tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j", BITCOIN_TEST)


@pytest.mark.parametrize("size", [0, 19, 21, 32])
def test_a_base58_address_holds_twenty_bytes(size: int) -> None:
    with pytest.raises(BadAddress, match="20 bytes"):
        address_to_script(base58check_encode(bytes((DOICHAIN.p2pkh_prefix,)) + bytes(size)), DOICHAIN)


@given(st.one_of(st.text(max_size=100), st.text("nmN123dctrqpzry9x8gf", max_size=100)), networks)
def test_no_text_raises_anything_else(text: str, network: Network) -> None:
    with pytest.raises(BadAddress):
        address_to_script(text, network)


@pytest.mark.parametrize(
    "script", [b"", b"\x6a", b"\x00\x15" + bytes(21), b"\x51\x14" + bytes(20), b"\x52\x20" + bytes(32)]
)
def test_other_scripts_have_no_address(script: Script) -> None:
    assert script_to_address(script, DOICHAIN) is None


def test_the_scripthash_of_the_protocols_own_example() -> None:
    script = Script(bytes.fromhex("76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"))
    assert scripthash(script) == "8b01df4e368ea28f8dc0423bcf7a4923e3a12d307c875e47a0cfbf90b5c39161"
