"""One running host: the parts below the protocols that py-libp2p leaves to us. `open_host.py` puts these together.

    host                 connected peers, dialling, our addresses: the page that others use
    listening            every configured address, or a clear refusal
    webrtc_direct        a browser dials us with no domain        tls_certificate   wss, and a new certificate in time
    identity             the key that names this worker           peerstore         records of peers, bounded
    notifee              peers that came and went                 whereabouts       the address at which a peer counts
    connections          choosing one, awaiting its end, closing  sockets           the socket under a connection
    protected_connection a private network's cipher
    dns_dialling         dialling a name; dns_rebinding pins it to the addresses of our first look-up

Read `host` and `listening`, then `whereabouts`, on whose rule all fairness rests.
"""
