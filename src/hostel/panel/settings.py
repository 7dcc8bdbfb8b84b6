"""Django's settings, made from `hostel.toml`. The environment only names the root.

Importing must work where no installation exists (type checking does it): then `HOSTEL_IS_CONFIGURED` is false,
nothing is written, and both ways to run the panel refuse.
"""

import os
import secrets
from pathlib import Path

from django.contrib.messages.constants import ERROR, SUCCESS

from hostel.panel.api.description import DESCRIPTION
from hostel.panel.logs import logging_settings
from hostel.wire.config import Config, SitesConfig, read_config
from hostel.wire.files import write_atomically
from hostel.wire.paths import Paths

HOSTEL_PATHS = Paths(Path(os.environ.get("HOSTEL_ROOT", "/")))
HOSTEL_IS_CONFIGURED = HOSTEL_PATHS.config_file.exists()
HOSTEL_CONFIG = (
    read_config(HOSTEL_PATHS.config_file)
    if HOSTEL_IS_CONFIGURED
    else Config(sites=SitesConfig(domain="hostel.localhost"))
)


def _ensure_secret_key(path: Path) -> str:
    """The key in `path`, made on first use. Readable by the panel's uid only."""
    try:
        return path.read_text("ascii")
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, secrets.token_urlsafe(48).encode("ascii"), mode=0o600)
        return path.read_text("ascii")  # `migrate` runs alone before any server: there is one first starter


SECRET_KEY = (
    _ensure_secret_key(HOSTEL_PATHS.panel / "secret_key") if HOSTEL_IS_CONFIGURED else secrets.token_urlsafe(48)
)

DEBUG = False
ALLOWED_HOSTS = [HOSTEL_CONFIG.panel_host]

INSTALLED_APPS = [
    "hostel.panel.apps.OperatorConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "hostel.panel.audit",
    "hostel.panel.wanted",
    "hostel.panel.accounts",
    "hostel.panel.websites",
    "hostel.panel.domains",
    "hostel.panel.files",
    "hostel.panel.consoles",
    "hostel.panel.api",
    "hostel.panel.apps.PanelConfig",
]

# CommonMiddleware is absent on purpose: it redirects to add slashes, which turns an API client's POST into a GET.
MIDDLEWARE = [
    "hostel.panel.middleware.one_spelling",
    "django.middleware.security.SecurityMiddleware",
    "hostel.panel.middleware.answer_headers",
    "hostel.panel.middleware.known_host",
    "hostel.panel.middleware.api_over_https",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "hostel.panel.urls"
ASGI_APPLICATION = "hostel.panel.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hostel.panel.navigation.navigation",
            ]
        },
    }
]

# How long a change waits for another process's write lock before it is answered with 503; others go on meanwhile.
BUSY_TIMEOUT_S = 5

DATABASE_FILE = HOSTEL_PATHS.panel / "panel.sqlite3"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATABASE_FILE,
        "OPTIONS": {
            # Take the write lock at BEGIN: a transaction that upgrades later may fail at once, whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            "timeout": BUSY_TIMEOUT_S,
            # A website that was answered with 201 must survive a power cut: WAL alone syncs only at checkpoints.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
        "TEST": {"NAME": HOSTEL_PATHS.panel / "test.sqlite3"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
STATIC_URL = "/static/"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of its own
MESSAGE_TAGS = {SUCCESS: "good", ERROR: "bad"}  # classes of panel.css

# -- Security. Users' websites are neighbours below the same domain: the browser calls them "same site", so cookies
# carry the __Host- prefix, which nobody but this host can set.

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # the edge sets it, never the visitor
SECURE_SSL_REDIRECT = True
SECURE_SSL_HOST = HOSTEL_CONFIG.authority(HOSTEL_CONFIG.panel_host)
# API calls are refused over HTTP, never redirected; the agent comes over a unix socket.
SECURE_REDIRECT_EXEMPT = [r"^api/(?!docs/)", r"^agent/"]
# A browser keeps the port when it applies HSTS, so with another port it would speak TLS to the HTTP one.
SECURE_HSTS_SECONDS = 31_536_000 if HOSTEL_CONFIG.listen.https_port == 443 else 0
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "hostel.panel.accounts.sessions"
SESSION_COOKIE_NAME = "__Host-session"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_NAME = "__Host-csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "hostel.panel.faults.forbidden_form"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
FILE_UPLOAD_TEMP_DIR = HOSTEL_PATHS.panel / "uploads"  # /tmp in the panel's sandbox is memory
if HOSTEL_IS_CONFIGURED:
    FILE_UPLOAD_TEMP_DIR.mkdir(mode=0o700, exist_ok=True)
SILENCED_SYSTEM_CHECKS = [
    "security.W004",  # HSTS is off where the port forbids it, see above
    "security.W005",  # HSTS with subdomains would force HTTPS on users' websites below a bare panel host
    "security.W021",  # preloading is the domain owner's decision
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["hostel.panel.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [
        "hostel.panel.api.permissions.IsThatUser",
        "hostel.panel.api.permissions.HasScope",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["hostel.panel.api.throttles.RequestsPerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "hostel.panel.api.parsers.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "hostel.panel.api.negotiation.AlwaysFirstRenderer",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "hostel.panel.api.errors.answer_to_error",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Hostel API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1/user/\{username\}",
    "DESCRIPTION": DESCRIPTION,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "docExpansion": "list"},
}

LOGGING = logging_settings()
