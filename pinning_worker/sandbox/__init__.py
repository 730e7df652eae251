"""A Doichain regtest on this machine: our node, a real ElectrumX, a wallet. For tests and for trying the worker out."""
