"""One file for each command of `pinning-worker`. A command reads settings, calls other parts, and prints.

Data goes to standard output, as JSON with --json; everything else to standard error. An error that a person can mend
becomes one sentence and an exit code (`telling.py`); only a fault of ours shows a traceback.
"""
