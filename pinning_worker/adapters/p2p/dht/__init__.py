"""The DHT by which IPFS nodes find providers (Kademlia): we ask it, announce our blocks, and, as a server, answer.

Why our own, on the library's protobuf: py-libp2p's KadDHT dials any address that a stranger names, keeps as many
provider and value records as they send (50 000 values of a mebibyte), repeats for two days what it once found, asks the
whole network twice for each question, and stops answering when twelve peers hold a stream open, as Kubo does.

    contacts    peers, addresses and distances; the messages
    table       peers that are known to answer: pure
    records     the providers of keys, kept as a server: pure
    walk        one question to the network: which peer to ask next
    talk        a question to one peer: dialling, streams, disconnecting
    server      the answers to others
    node        joins them: find, provide, refresh

Read `walk`, then `node`; `server` stands alone.

Two networks share the protocol: `/ipfs/kad/1.0.0` of public nodes, `/ipfs/lan/kad/1.0.0` of nodes with private
addresses. A worker answers in both, and asks in the second while it has only private addresses itself.

Spec: https://github.com/libp2p/specs/tree/master/kad-dht.
"""
