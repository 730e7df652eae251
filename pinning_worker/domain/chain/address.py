"""Addresses and the output scripts that they stand for, and the scripthash that names a script to Electrum servers.

Base58Check for p2pkh and p2sh, bech32 (BIP173) for witness version 0, bech32m (BIP350) for version 1. Base58 addresses
of testnet and regtest look alike: they share their prefixes. doichain-core has no taproot rules, so anybody can spend
from a p2tr script there; such addresses are read here (they occur), and must not be offered to a payer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pinning_worker.domain.chain.networks import NETWORKS, Network
from pinning_worker.domain.chain.transaction import double_sha256
from pinning_worker.domain.identities import Script

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CONSTANT = {0: 1, 1: 0x2BC830A3}  # by witness version: bech32, bech32m
_PROGRAM_SIZES = {0: (20, 32), 1: (32,)}
_LONGEST_ADDRESS = 90


class BadAddress(ValueError):
    """Not an address of this network."""


def address_to_script(address: str, network: Network) -> Script:
    """The output script (p2pkh, p2sh, p2wpkh, p2wsh, p2tr) of an address.

    Raises BadAddress, whose text names the address's network if that is another one.
    """
    if len(address) > _LONGEST_ADDRESS or not address.isascii():
        raise BadAddress("not an address")
    hrp = address.rpartition("1")[0].lower()
    known = {network.bech32_hrp, *(other.bech32_hrp for other in NETWORKS.values())}
    if hrp in known:
        return _witness_script(address, hrp, network)
    return _base58_script(address, network)


def script_to_address(script: Script, network: Network) -> str | None:
    """The address of an output script, or None if it is none of the five kinds."""
    if len(script) == 25 and script[:3] == b"\x76\xa9\x14" and script[23:] == b"\x88\xac":
        return base58check_encode(bytes((network.p2pkh_prefix,)) + script[3:23])
    if len(script) == 23 and script[:2] == b"\xa9\x14" and script[22:] == b"\x87":
        return base58check_encode(bytes((network.p2sh_prefix,)) + script[2:22])
    for version, opcode in ((0, 0x00), (1, 0x51)):
        if (
            script[:1] == bytes((opcode,))
            and len(script) - 2 in _PROGRAM_SIZES[version]
            and script[1] == len(script) - 2
        ):
            return _bech32_encode(network.bech32_hrp, version, script[2:])
    return None


def scripthash(script: Script) -> str:
    """The name of a script in the Electrum protocol: its sha256, hex, reversed."""
    return hashlib.sha256(script).digest()[::-1].hex()


def p2pkh_script(pubkey_hash: bytes) -> Script:
    return Script(b"\x76\xa9\x14" + pubkey_hash + b"\x88\xac")


def p2sh_script(script_hash: bytes) -> Script:
    return Script(b"\xa9\x14" + script_hash + b"\x87")


def witness_script(version: int, program: bytes) -> Script:
    """p2wpkh, p2wsh (version 0, a program of 20 or 32 bytes) or p2tr (version 1)."""
    return Script(bytes((0x50 + version if version else 0, len(program))) + program)


# --- Base58Check


def base58check_encode(payload: bytes) -> str:
    data = payload + double_sha256(payload)[:4]
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return _BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + digits


def base58check_decode(text: str) -> bytes:
    """The payload, without its checksum. Raises BadAddress."""
    number = 0
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise BadAddress("not an address")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(_BASE58[0]))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) < 5 or double_sha256(data[:-4])[:4] != data[-4:]:
        raise BadAddress("not an address: the checksum is wrong")
    return data[:-4]


def _base58_script(address: str, network: Network) -> Script:
    payload = base58check_decode(address)
    prefix, digest = payload[0], payload[1:]
    if len(digest) != 20:
        raise BadAddress("not an address: the hash in it is not 20 bytes")
    if prefix == network.p2pkh_prefix:
        return p2pkh_script(digest)
    if prefix == network.p2sh_prefix:
        return p2sh_script(digest)
    raise _of_another_network(n for n in NETWORKS.values() if prefix in (n.p2pkh_prefix, n.p2sh_prefix))


def _of_another_network(owners: Iterable[Network]) -> BadAddress:
    names = " or ".join(owner.name for owner in owners)
    return BadAddress(f"an address of {names}" if names else "not an address of any Doichain network")


# --- bech32 and bech32m


def _witness_script(address: str, hrp: str, network: Network) -> Script:
    version, program = _bech32_decode(address, hrp)
    if hrp != network.bech32_hrp:
        raise _of_another_network(n for n in NETWORKS.values() if n.bech32_hrp == hrp)
    return witness_script(version, program)


def _bech32_encode(hrp: str, version: int, program: bytes) -> str:
    values = [version, *_regroup(program, 8, 5)]
    checksum = _polymod([*_expand(hrp), *values, 0, 0, 0, 0, 0, 0]) ^ _CHECKSUM_CONSTANT[version]
    values += [checksum >> 5 * (5 - at) & 31 for at in range(6)]
    return hrp + "1" + "".join(_BECH32[value] for value in values)


def _bech32_decode(address: str, hrp: str) -> tuple[int, bytes]:
    """(witness version, program). Raises BadAddress."""
    if address not in (address.lower(), address.upper()):
        raise BadAddress("not an address: upper and lower case are mixed")
    values = [_BECH32.find(character) for character in address.lower()[len(hrp) + 1 :]]
    if len(values) < 7 or -1 in values:
        raise BadAddress("not an address")
    version = values[0]
    if version not in _PROGRAM_SIZES:
        raise BadAddress(f"witness version {version} is not known")
    if _polymod([*_expand(hrp), *values]) != _CHECKSUM_CONSTANT[version]:
        raise BadAddress("not an address: the checksum is wrong")
    return version, _read_program(version, values[1:-6])


def _read_program(version: int, values: list[int]) -> bytes:
    padding = len(values) * 5 % 8
    if padding >= 5 or (values and values[-1] & (1 << padding) - 1):
        raise BadAddress("not an address: the padding is wrong")
    program = bytes(_regroup(values, 5, 8)[: len(values) * 5 // 8])
    if len(program) not in _PROGRAM_SIZES[version]:
        raise BadAddress("not an address: the witness program has a wrong length")
    return program


def _expand(hrp: str) -> list[int]:
    return [ord(character) >> 5 for character in hrp] + [0] + [ord(character) & 31 for character in hrp]


def _polymod(values: Iterable[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for at, generator in enumerate(_BECH32_GENERATOR):
            checksum ^= generator if top >> at & 1 else 0
    return checksum


def _regroup(values: Iterable[int], width: int, new_width: int) -> list[int]:
    """The same bits in groups of another width; zeros fill up the last group."""
    bits = "".join(f"{value:0{width}b}" for value in values)
    return [int(bits[at : at + new_width].ljust(new_width, "0"), 2) for at in range(0, len(bits), new_width)]
