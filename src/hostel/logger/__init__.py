"""Reads what the sandboxes write to stdout and stderr, and keeps the log files.

Apart from the agent, because a full pipe stops the website that writes to it. Imports the standard library and
`hostel.wire` only.
"""
