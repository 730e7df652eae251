"""The ports: everything the stories need from outside, in the stories' words, one page for each neighbour.

    books     requests, pins, quotes, payments, references of blocks; receipts
    content   blocks on disk, and the fetch of a DAG
    chain     our verified headers, and the payments and names that servers show
    names     the index of NameOps
    world     time, notes of crashes, the topic, and everyday trouble

Rules: a port has as few methods as its story needs. Every port has an in-memory twin in `adapters/memory`, and one
contract suite in `tests/contract` runs on every implementation. Outcomes of business are values. An exception of an
adapter shows whose fault it is: `Trouble` and its children may happen any day, everything else is a bug.
Keys: a `Root` is the CIDv1 bytes of a CID (`Cid.key`); the name of a block is its `Multihash`.
"""
