"""What PINNING_PROFILE changes: other defaults for how much at once. A setting that is given wins.

server     the defaults as they are documented
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
