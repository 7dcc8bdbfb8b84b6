"""Users, their passwords and their API tokens: the tables, the pages and root's commands."""
