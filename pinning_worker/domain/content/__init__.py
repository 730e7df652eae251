"""Content: CIDs, the links of blocks, and sizes. Blocks come from strangers and may be anything.

cid           the key of a request, whatever its spelling; multihash: whether bytes match their name
dag           links of a block, and small files read over blocks at hand
metadata      metadata.json, as people write it: the images that it names
sizes         exact integers, and the text that the browser shows
unixfs_file   a file cut into blocks like in Kubo and Helia (for `ask`)
protobuf      the few parts of it that this worker needs
"""
