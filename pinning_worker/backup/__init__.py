"""Back-ups: a worker's data in another folder, taken while it runs, and put back into an empty one.

    errors.py        what a person is told, and whose fault it is
    manifest.py      `backup.json`: what is in a back-up, and that it is whole
    folder.py        the folder of a back-up, and how it goes from one whole state to the next
    taking.py        `pinning-worker backup`
    checking.py      whether a back-up is whole
    putting_back.py  `pinning-worker restore`

Rules: what is kept for others comes first, so the database is copied before the blocks: every block that the copy
calls kept was on the shelf then. A back-up that was cut short is never taken for a whole one, and never spoils the
whole one that was there before; nor is half a restore ever taken for a worker. Everything here blocks: it is a process
of its own.
"""
