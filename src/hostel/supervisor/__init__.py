"""Starts edge, logger and agent, and starts each again when it dies. Holds no state that matters.

Imports the standard library and `hostel.wire` only: what keeps the others alive has few reasons of its own to die.
"""
