"""The content topic, to the byte; docs/protocol.md is the same for people.

requests    messages of others: Ask, ListRequest, BadAsk or Ignored; never raises
messages    messages of this worker; tests compare each with its sample
listing     the questions of LIST; name_row: one row of its answer
following   the answers, as a customer understands them (the command `ask`)
"""
