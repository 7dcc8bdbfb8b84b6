"""The edge: nginx with Lua, the only process that listens on the network, and how the agent talks to it.

`python -m hostel.edge` prepares nginx and becomes it; `publish.py` is the agent's side. Lua looks up, Python decides.
"""
