"""A picture to keep: a real PNG, pleasant to look at in screenshots, of a size that takes several blocks."""

import random
import struct
import zlib

SKY, SEA = ((126, 168, 214), (246, 196, 140)), ((58, 96, 128), (24, 44, 66))
GRAIN = 8  # values of noise on each colour, so that it does not compress away


def picture(width: int = 1200, height: int = 800, seed: int = 1) -> bytes:
    """The sky over the sea, some 1.2 MB; the same seed is the same file."""
    noise = random.Random(seed)
    rows = b"".join(_row(noise, width, _colour(y / height)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _colour(at: float) -> tuple[int, ...]:
    """From the top of the sky (0) to its horizon, then from the near sea to the far bottom (1)."""
    (first, last), way = (SKY, at * 2) if at < 0.5 else (SEA, at * 2 - 1)
    return tuple(round(a + (b - a) * way) for a, b in zip(first, last, strict=True))


def _row(noise: random.Random, width: int, colour: tuple[int, ...]) -> bytes:
    row = bytearray(3 * width)
    for channel, value in enumerate(colour):
        grains = bytes(value + at % GRAIN for at in range(256))
        row[channel::3] = noise.randbytes(width).translate(grains)
    return b"\0" + bytes(row)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
