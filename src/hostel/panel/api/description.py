"""The words at the top of the API's documentation. Plain text: the settings import it."""

DESCRIPTION = """\
Put a website live with one call. Authenticate with `Authorization: Token <your API token>`; the token is made on your
Account page. Bodies may be JSON, `application/x-www-form-urlencoded` (`webapp.command=...`) or `multipart/form-data`.
Slashes do not matter: doubled ones count as one, the last one may be missing, and nothing is ever redirected.

**Errors** have DRF's shape: `{"detail": "..."}`, or `{"<field>": ["..."]}` for a refused value. Every error carries a
code for programs in the header `Hostel-Error-Code`, which never changes while the words may:

| status | codes |
| --- | --- |
| 400 | `required`, `blank`, `null`, `invalid`, `invalid_name`, `domain_exists`, `immutable`, `parse_error` |
| 401 | `not_authenticated`, `authentication_failed`, `invalid_token`, `user_inactive` |
| 403 | `permission_denied` (any account but your own, whether it exists or not), `https_required` |
| 404 | `not_found` |
| 405, 413, 415 | `method_not_allowed`, `body_too_large`, `unsupported_media_type` |
| 409 | `deploy_failed`, `website_disabled` (of a reload) |
| 429 | `throttled`; wait as many seconds as `Retry-After` says |
| 500, 503, 507 | `fault`, `agent_unreachable`, `database_busy`, `database_full`, `database_unusable` |
"""
