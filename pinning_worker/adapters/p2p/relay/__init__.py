"""Circuit relay v2: being one (`hop.py`), and being reached through one (`client.py`).

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md. The library has a relay of its own, which cannot
be used here: it tells every peer a Limit, and js-libp2p and Kubo then call the circuit limited and refuse bitswap over
it; it reserves for whom the message names, not for who sends it; it has no say in who is served, and no cap on all
circuits together. `tests/adapters/p2p/relay/test_stock.py` shows the first two on the wire.

    messages.py      what is said on a stream, read to the byte: what follows belongs to the circuit
    reservations.py  who may be reached through us, and until when
    circuit.py       bytes from one stream to another and back, counted
"""
