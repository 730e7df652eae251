"""One file for each command of `pinning-worker`. A command reads settings, calls what does the work, and prints.

Data goes to standard output, also as JSON where asked; everything else to standard error. What a person can mend is one
sentence and an exit code (`telling.py`); only a fault of ours shows a traceback.
"""
