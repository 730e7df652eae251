"""Pure rules and value types: no async, no clock, no logging, no I/O. Time and randomness are arguments.

    pin       the states of a request and of a pin: read this first, docs/states.md draws it
    verdict   the effect of payments on a pin
    money/    swartz, quotes, payments, receipts
    content/  CIDs, blocks and their links, metadata.json
    topic/    requests and messages of the content topic, to the byte
    chain/    headers, transactions, addresses, and the differences between the networks

Beside them: errors (codes of ERROR), site (addresses of one customer), store_mark, swarm_key.
"""
