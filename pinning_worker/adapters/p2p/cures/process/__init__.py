"""Cures of faults in things that the whole process shares: uncaught exceptions, logging, the clock, the number of
tasks.

Read `crash` first.
"""
