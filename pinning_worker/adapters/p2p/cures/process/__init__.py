"""Cures of what the whole process shares: exceptions that nobody caught, logging, the clock, the number of tasks.

Read `crash` first.
"""
