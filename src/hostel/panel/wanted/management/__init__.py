"""The agent's command, run in the panel's sandbox before each new run of the panel."""
