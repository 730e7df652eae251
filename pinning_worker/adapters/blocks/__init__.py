"""Blocks on disk, by multihash, and the files beside them that must outlive the database.

disk              the port: one file for each block, whole or absent
quarantine        where freed blocks wait
durability        fsync of a few, syncfs of many
receipt_journal   the receipts a second time; quote_journal: the quotes a second time
mark_file         the mark that database and blocks share
release_file      the operator's permission to free blocks
rights            whether this user may use the folder
block_copy        blocks into another folder, verified (for back-ups)
"""
