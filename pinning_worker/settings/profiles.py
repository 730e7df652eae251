"""The profiles of PINNING_PROFILE: other defaults for parallel work. An explicit setting wins.

server     the documented defaults
lowpower   for a Raspberry Pi: fewer peers and messages, smaller windows, fewer fetches at once
"""

from __future__ import annotations

from typing import Literal

ProfileName = Literal["server", "lowpower"]
PROFILES: dict[str, dict[str, str]] = {
    "server": {},
    "lowpower": {
        "PINNING_MAX_CONNECTIONS": "60",
        "PINNING_MAX_HALF_OPEN": "16",
        "PINNING_STREAM_WINDOW": "512KiB",
        "PINNING_MESSAGES_PER_SECOND": "250",
        "PINNING_GOSSIP_BYTES_PER_SECOND": "1MiB",
        "PINNING_REQUESTS_PER_MINUTE": "3000",
        "PINNING_FETCHES_AT_ONCE": "2",
        "PINNING_QUEUE_SIZE": "50",
        "PINNING_QUEUE_SIZE_PER_PEER": "10",
        "PINNING_RELAY_RESERVATIONS": "16",
        "PINNING_RELAY_CIRCUITS": "32",
        "PINNING_RELAY_CIRCUITS_PER_PEER": "4",
    },
}
