"""The limits that an operator may set, unless set otherwise. `settings/fields.py` takes its defaults from here.

Each has the name of its setting, in capitals here and in small letters at each use.
"""

from __future__ import annotations

from datetime import timedelta

MAX_CONNECTIONS = 300
MAX_CONNECTIONS_PER_PEER = 2
MAX_CONNECTIONS_PER_ADDRESS = 32
PROXIES = ("127.0.0.1", "::1")
HANDSHAKE_TIME = timedelta(seconds=10)
MAX_HALF_OPEN = 64
MAX_STREAMS_PER_PEER = 256
STREAM_WINDOW = 2 << 20  # bytes

MESSAGES_PER_PEER_PER_SECOND = 100
MESSAGES_PER_SECOND = 1_000
GOSSIP_BYTES_PER_SECOND = 4 << 20

RELAY_RESERVATIONS = 128
RELAY_CIRCUITS = 256
RELAY_CIRCUITS_PER_PEER = 16
RELAY_BYTES_PER_CIRCUIT = 1 << 30
