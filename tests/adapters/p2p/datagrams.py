"""Datagrams that a stranger may send to a webrtc-direct port without ever finishing a handshake."""

from __future__ import annotations

import random
import secrets
import socket

from aioice import stun

NOISE = random.Random(3).randbytes
CLIENT_HELLO = bytes.fromhex("16fefd0000000000000000") + b"\x00\x90" + b"\x01\x00\x00\x84" + NOISE(140)


def first_datagram() -> bytes:
    """A dialler's first, with a made-up name: the listener answers it, and begins a connection."""
    ufrag = f"libp2p+webrtc+v1/{secrets.token_hex(16)}"
    check = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    check.attributes["USERNAME"] = f"{ufrag}:{ufrag}"
    check.attributes["PRIORITY"] = 1_845_501_695
    check.attributes["ICE-CONTROLLING"] = secrets.randbits(64)
    check.attributes["USE-CANDIDATE"] = None
    check.add_message_integrity(ufrag.encode())
    return bytes(check)


def garbage(dice: random.Random) -> bytes:
    """Noise, STUN with a byte or more changed or cut off, what looks like DTLS, and long nothing."""
    kind = dice.randrange(5)
    if kind == 0:
        return dice.randbytes(dice.randrange(1_400))
    if kind == 1:
        return bytes([dice.randrange(20, 64)]) + dice.randbytes(dice.randrange(300))
    if kind == 2:
        return bytes(dice.randrange(1_400))
    data = bytearray(first_datagram())
    for _ in range(dice.randrange(1, 5)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data if kind == 3 else data[: dice.randrange(len(data))])


def socket_at(ip: str) -> socket.socket:
    """A UDP socket that sends from there and never waits."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind((ip, 0))
    return opened
