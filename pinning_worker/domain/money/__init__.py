"""Money: integer swartz, promises and receipts. Nothing here is rounded twice or counted twice.

swartz         the type of every amount
pricing        a price list, a quote, calendar months
payment        one transaction in the ledger: seen, proven, settled, bought (docs/words.md)
receipt        the record of a payment that bought a term
written_once   rows that never change
"""
