"""Blocks on disk, by multihash, and what must outlive the database beside them.

disk              the port: one file for each block, whole or not there
quarantine        where freed blocks wait
durability        fsync of a few, syncfs of many
receipt_journal   receipts once more; quote_journal: quotes once more; json_lines: their form
mark_file         the mark that database and blocks share
release_file      what the operator lets go
rights            whether this user may use the folder
block_copy        blocks into another folder, verified (for back-ups)
"""
