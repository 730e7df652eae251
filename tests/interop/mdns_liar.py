"""A process that says by mDNS what it is told to, until it is ended.

python -m tests.interop.mdns_liar IP MULTIADDR…
"""

from __future__ import annotations

import signal
import sys

from zeroconf import IPVersion, ServiceInfo, Zeroconf

from pinning_worker.adapters.p2p.discovery.mdns import SERVICE
from pinning_worker.adapters.p2p.discovery.mdns_records import encode_txt

_, here, *addresses = sys.argv
liar = Zeroconf([here], ip_version=IPVersion.V4Only)
liar.register_service(
    ServiceInfo(SERVICE, f"liar.{SERVICE}", 4001, properties=encode_txt(addresses), parsed_addresses=[here])
)
signal.pause()
