"""Back-ups: a worker's data in another folder, taken while it runs, and put back into an empty one.

    errors.py        the errors, with texts for a person
    manifest.py      `backup.json`: the contents of a back-up, and the sign that it is whole
    folder.py        the folder of a back-up, and its way from one whole state to the next
    taking.py        `pinning-worker backup`
    checking.py      the check that a back-up is whole
    putting_back.py  `pinning-worker restore`

Rules: the database is copied before the blocks: every block that the copy calls kept was on the shelf then. An
interrupted back-up never passes for a whole one, and never spoils the earlier whole one; half a restore never passes
for a worker's data. Everything here blocks: it runs in a process of its own.
"""
