"""A Doichain regtest on this machine: our node, a real ElectrumX, a wallet. For tests and for trying the worker out.

sandbox      all of it, open as long as a context lasts; control: the same as a process, controlled from other terminals
node         chain, mempool, a clock that can be moved; blocks, coins, mempool, names: its parts
node_rpc     the methods of doichaind that ElectrumX calls; rpc, rpc_client: JSON-RPC over HTTP
electrumx    the real one as a process; electrumx_server: its coin class
wallet       payments as a browser makes them; psbt: signs a page's; sighash
transaction_rules, script_check, rejected   what the node refuses, with doichain-core's reasons
directory    one sandbox at a time
"""
