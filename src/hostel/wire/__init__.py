"""Everything that crosses a process boundary, and nothing else.

Frozen dataclasses, error codes, the paths and the configuration file that every process reads. Imports the
standard library only; every other package of Hostel imports this one and never each other.
"""
