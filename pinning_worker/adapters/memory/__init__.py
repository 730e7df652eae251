"""The in-memory twin of every port: for story tests, and the measure of the contract suite.

Each twin can do what its real counterpart may do on a bad day: a disk that is full or loses blocks, a chain that
reorganises, a death of the process. `network` holds the twins of fetcher and topic.
"""
