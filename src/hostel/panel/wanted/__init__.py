"""The version of wanted state, what was deleted, and the answer to the agent that pulls. Knows no page."""
