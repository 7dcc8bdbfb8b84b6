"""Domains of users' own: who has which, and what proves it."""
