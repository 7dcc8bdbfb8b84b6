"""The words at the top of the API's documentation. Plain text: the settings import it."""

DESCRIPTION = """\
Put a website live with one call. Authenticate with `Authorization: Token <your API token>`; the full token is made on
your Account page, tokens of less power by `POST tokens/`. Bodies may be JSON, `multipart/form-data` or
`application/x-www-form-urlencoded` (`webapp.command=...`). Slashes do not matter: doubled ones count as one, the last
one may be missing, and nothing is ever redirected.

**Errors** have DRF's shape: `{"detail": "..."}`, or `{"<field>": ["..."]}` for a refused value. Every error carries a
code for programs in the header `Hostel-Error-Code`, which never changes while the words may:

| status | codes |
| --- | --- |
| 400 | `required`, `blank`, `null`, `invalid`, `invalid_choice`, `min_value`, `max_value`, `max_string_length` |
| 400 | `null_characters_not_allowed`, `surrogate_characters_not_allowed` |
| 400 | `invalid_mapping`, `invalid_http_user` |
| 400 | `invalid_name`, `domain_exists`, `token_exists`, `immutable`, `parse_error`, `bad_request` |
| 401 | `not_authenticated`, `authentication_failed`, `invalid_token`, `token_expired`, `account_suspended` |
| 403 | `permission_denied` (any account but your own, whether it exists or not), `https_required` |
| 403 | `scope_missing` (of a named token: the sentence says which scope it lacks), `limit_tokens` |
| 403 | `limit_websites`, `limit_domains`, `limit_disk` (of a creation: you have as many as your plan allows) |
| 404 | `not_found` |
| 405, 413, 415 | `method_not_allowed`, `body_too_large`, `unsupported_media_type` |
| 400, 409 | `domain_unproven`; `invalid_redirect`, `domain_in_use` |
| 409 | `deploy_failed`, `website_disabled` (of a reload), `domain_taken` (of a change) |
| 429 | `throttled`, `too_many_at_once`; wait as many seconds as `Retry-After` says |
| 500 | `fault` |
| 503 | `agent_unreachable`, `still_ending`, `database_busy`, `database_unusable`; wait as `Retry-After` says |
| 503 | `dns_unreachable` (of a domain's proof) |
| 507 | `database_full`, `storage_full` |
"""
