"""The DHT by which IPFS nodes find who has what (Kademlia): asked, told what we keep, and, as a server, answered from.

Why our own, on the library's protobuf: py-libp2p's KadDHT dials whatever addresses strangers tell it, keeps as many
provider and value records as they send (50 000 values of a mebibyte), hands out for two days what it once found, asks
the whole network twice for each question, and stops answering when twelve peers hold a stream open, as Kubo does.

    contacts    who, and where; distances; the messages
    table       peers that are known to answer: pure
    records     who provides what, as a server: pure
    walk        one question to the network: whom to ask next
    talk        a question to one peer: dialling, streams, hanging up
    server      the answers to others
    node        what joins them: find, provide, refresh

Read `walk`, then `node`; `server` stands alone.

Two networks share the protocol: `/ipfs/kad/1.0.0` of public nodes, `/ipfs/lan/kad/1.0.0` of those with private
addresses. A worker answers in both, and asks in the second while it has only private addresses itself.

Spec: https://github.com/libp2p/specs/tree/master/kad-dht.
"""
