"""The agent: the only privileged process that decides.

Turns wanted tenants and websites into sandboxes, route records, certificates and limits. Holds no database and no
Django; its durable state is one JSON file a tenant and a website. It may be killed at any moment.
"""
