"""The `hostel` command: what an operator types, as root.

Talks to the agent over root's own socket; never opens the database and never starts a sandbox that the agent has
not prepared. Data goes to stdout, messages to stderr.
"""
