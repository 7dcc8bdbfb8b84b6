"""The audit trail: who changed what of which account, by which token, from where."""
