"""One running host: what py-libp2p leaves to us below the protocols. `open_host.py` puts these together.

    host                 who is connected, dialling, what we tell of our addresses: the page that others use
    listening            every address that was asked for, or a clear refusal
    webrtc_direct        a browser dials us with no domain          tls_certificate   wss, and a new certificate in time
    identity             the key that names this worker             peerstore         what is known of peers, bounded
    notifee              who came and went                          whereabouts       what counts as one address
    connections          which to take, when it has ended, closing  sockets           the socket under a connection
    protected_connection a private network's cipher
    dns_dialling         dialling a name; dns_rebinding keeps it where it led when we looked

Read `host` and `listening`, then `whereabouts`, on whose rule all fairness rests.
"""
