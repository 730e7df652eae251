"""The Doichain, as far as a verifier of payments needs it. Every byte comes from a server that may lie.

networks      one literal row for each network: start here
headers       one header and its work; auxpow: the proof of a merge-mined one
difficulty    the bits that a header must have, for each rule
headerchain   our own chain of verified headers; anchor: its start
transaction   bytes to values, txid, merkle branch
nameop        the name operation of an output; address: the owner of an output
"""
