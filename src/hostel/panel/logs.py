"""How the panel logs: one JSON object a line on stderr, Django's and uvicorn's lines alike. Never a secret."""

from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_SECRETS = frozenset({"token", "api_token", "password", "authorization", "cookie", "secret"})


def hide_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The last line of defence: code does not hand secrets to the log in the first place."""
    return {key: "***" if key.lower() in _SECRETS else value for key, value in event.items()}


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    hide_secrets,
]


def configure_structlog() -> None:
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logging_settings() -> dict[str, Any]:
    """Django's LOGGING. uvicorn's access lines are dropped: the edge writes the access log."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            "django.request": {"level": "ERROR"},  # every 4xx answer would be a warning
            "django.security.DisallowedHost": {"level": "CRITICAL"},  # visitors choose the Host header
            "httpx": {"level": "WARNING"},
            "uvicorn": {"handlers": [], "propagate": True},
            "uvicorn.access": {"handlers": [], "propagate": False},
        },
    }
