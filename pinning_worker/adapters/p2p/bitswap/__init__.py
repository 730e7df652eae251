"""Bitswap 1.2.0, client and server, over py-libp2p's streams.

Why our own: py-libp2p's engine answers on the stream that the wantlist came on, which Helia has half closed by then
(so Helia never gets a block), refuses blocks over 512 KiB, and holds whole files in memory.

    wire        messages to bytes and back: pure              asking           which peers to ask: pure
    walk        a DAG on its way: what is next, its cost      conduct          penalties and the ban
    peer_wants  a peer's wants, to be answered: pure          arriving_blocks  the store, and blocks being written
    session     one DAG from the network into the store       wants            all our wants, by peer and session
    wantlist    our wants of one peer, and sending them       receiver         peers' messages, and faults in them
    server      the answers to wants                          places           how many answers at a time
    hearing     which peers answer, which are silent: pure    seeking          other providers, when no peer delivers
    engine      joins them: the host, connections, the Fetcher of the stories

Read `asking` and `walk`, then `session` for fetching and `server` for serving.

Spec: https://specs.ipfs.tech/bitswap-protocol/. Observed of peers, and relied on:
- Helia opens a stream for each message and closes it; it resets a stream of ours that is silent for 10 s.
- Helia and Kubo keep a want that they can't answer, send DONT_HAVE once, and the block when they get it.
- Helia ignores a want that it answered, unless a cancel comes first, until it sends something 5 s or more after that.
- Helia sends a peer one message at a time, up to 4 MiB, on a stream of its own: the first 256 KiB at once.
- js-libp2p pings every 10 s, there and back twice, and hangs up when that takes 5 s: also behind its own blocks.
- Frames are at most 4 MiB in both.
"""
