"""The libp2p side of the worker: one host, and the protocols that it speaks over py-libp2p.

Rooms, from the bottom up; each imports the rooms above it in this list and none below (import-linter holds that):

    errors      the exceptions of the host
    bounds      limits on the cost of one peer or address: pure arithmetic, and our own for good
    peer_ids    the library's peer ids as ours, and back
    addresses   multiaddrs                                  frames      messages on a stream
    host        one running host: sockets, listening, dialling, identity, the address by which a peer counts
    gossip      topics: subscribing and publishing          relay       reaching, and being reached, through others
    dht         finding providers                           bitswap     fetching and serving blocks
    discovery   finding peers                               cures       patches of py-libp2p, until upstream mends it
    open_host   puts a host together, and is the only importer of the cures
    asker       the other side: a customer that asks one worker

Read `open_host.py` first: its config names all that a host can do. Then `host/host.py`, and the room that you need; its
first page says in which order to read it.
"""
