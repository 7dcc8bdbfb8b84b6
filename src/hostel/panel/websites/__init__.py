"""Websites as their owners want them: the table, the deeds that change it, and the dashboard."""
