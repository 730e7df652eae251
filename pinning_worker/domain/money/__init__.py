"""Money: integer swartz, promises and receipts. Nothing here is rounded twice or counted twice.

swartz         the type of every amount
pricing        a price list, a quote, calendar months
payment        one transaction in the ledger: seen, proven, settled, bought (docs/words.md)
account        what the payments of one (CID, name) bought
tariff         the operator's prices over time
entry          what the operator decided: assigned, refunded, closed
statement      every swartz as earned, unearned, credit, owed, refunded or closed
receipt        the record of a payment that bought a term
written_once   rows that never change
"""
