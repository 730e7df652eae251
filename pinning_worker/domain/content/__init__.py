"""Content: which block is meant, what it links to, how much it weighs. Blocks come from strangers and may be anything.

cid           the key of a request, whatever its spelling; multihash: whether bytes are what their name says
dag           links of a block, and small files read over blocks at hand
metadata      metadata.json, as people write it: the images that it names
sizes         exact integers, and the text that the browser shows
unixfs_file   a file cut into blocks as Kubo and Helia cut it (for `ask`)
protobuf      just enough of it
"""
