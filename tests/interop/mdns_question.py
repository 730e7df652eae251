"""A process that asks one machine directly who speaks `_p2p._udp.local`, from any port: as anybody far away could.

python -m tests.interop.mdns_question IP SECONDS      prints how many bytes came back
"""

from __future__ import annotations

import socket
import sys

from zeroconf import DNSOutgoing, DNSQuestion  # type: ignore[attr-defined]  # in its documentation, and not marked so

from pinning_worker.adapters.p2p.discovery.mdns import IN, PTR, QUERY, SERVICE

question = DNSOutgoing(QUERY)
question.add_question(DNSQuestion(SERVICE, PTR, IN))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(float(sys.argv[2]))
    asking.sendto(question.packets()[0], (sys.argv[1], 5353))
    try:
        print(len(asking.recv(9000)))
    except TimeoutError:
        print(0)
