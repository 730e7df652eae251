"""How peers are found. `wiring/network.py` runs each way that the settings name.

    bootstrap       staying connected with peers that the operator names
    dialler         the rules by which a peer of hearsay is dialled: read this first
    peer_exchange   the discovery topic; pubsub_peer is its record
    mdns            the local network; mdns_records is its record, local_networks says which that is
    mapped_ports    UPnP: ports that the router forwards; upnp_router speaks with it, blocking keeps it in threads
    invitation      all that another node needs to find this one, in one line of text

Strangers that name peers decide which peers we dial, so every way states for itself which addresses it believes.
"""
