"""The panel: accounts, API tokens, the REST API and the web pages. Owns the database, which is the truth about what
users want. It writes wanted state and tells the agent; it never touches a sandbox, a uid or a path of a user.
"""
