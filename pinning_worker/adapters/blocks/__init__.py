"""Block stores: bytes on disk by multihash."""
