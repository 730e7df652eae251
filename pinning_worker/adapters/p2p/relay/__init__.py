"""Circuit relay v2: being one (hop.py), being reached through one (client.py), dialling through one (dialling.py).

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md. The library has a relay of its own, which cannot
be used here: it sends every peer a Limit, and js-libp2p and Kubo then call the circuit limited and refuse bitswap over
it; it reserves for the peer that the message names, not for its sender; it gives us no say in whom it serves, and has
no cap on all circuits together. `tests/adapters/p2p/relay/test_stock.py` shows the first two on the wire.

In the order to read them:

    wire            the messages on a stream, read to the byte: all bytes after them belong to the circuit
    reservations    the peers that may be reached through us, and until when: pure
    circuit         bytes from one stream to another and back, counted
    hop             being a relay
    client          a place at relays, for a worker that nobody can dial
    dialling        a connection through a relay; connections makes one of a stream
"""
