"""The content topic, to the byte; docs/protocol.md is the same for people.

requests    what others say: Ask, ListRequest, BadAsk or Ignored; never raises
messages    what this worker says; tests hold each to its sample
listing     the questions of LIST; name_row: one row of its answer
following   the answers, as a customer understands them (the command `ask`)
"""
