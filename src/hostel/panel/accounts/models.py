"""Users and their API tokens. A token's text is never stored: the row holds its SHA-256."""

import hashlib
import re
import secrets
import string
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from hostel.panel.accounts.sessions import SessionStore
from hostel.panel.audit.models import Deed, record, without_text
from hostel.panel.wanted.models import Kind, Tombstone, advance, current_version
from hostel.wire import names
from hostel.wire.config import LimitsConfig
from hostel.wire.errors import LimitReached, Refusal
from hostel.wire.website import TenantSpec, Version
from hostel.wire.website import Tombstone as WireTombstone

TOKEN_LENGTH = 40
NAMED_TOKENS_MOST = 50
TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,49}")
NAME_WANTED = "Give 1 to 50 letters, digits, spaces, dots, dashes and underscores, the first a letter or a digit."
SUSPENDED = "This account is suspended: nothing of it runs, and nothing is lost. Ask whoever runs this server."
_PASSWORD_ALPHABET = "".join(sorted(set(string.ascii_lowercase + string.digits) - set("il1o0")))


class UserExists(Refusal):
    """There is a user with that name already."""

    code = "user_exists"


class UnknownUser(Refusal):
    """There is no such user."""

    code = "unknown_user"
    status = 404


class TokenExists(Refusal):
    """You have a token of that name already."""

    code = "token_exists"


class TooManyTokens(LimitReached):
    """You have as many named tokens as one can have; delete one."""

    code = "limit_tokens"


def generate_password() -> str:
    """Twenty characters (99 bits), without the ones that look alike, in groups that can be read aloud."""
    return "-".join("".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(5)) for _ in range(4))


def validate_username(name: str) -> None:
    """`names.check_username`, in Django's form."""
    try:
        check_new_username(name)
    except names.InvalidName as error:
        raise ValidationError(str(error), code=error.code) from error


def check_new_username(name: str) -> str:
    """`name`, if a user may have it here: the panel's own host must not become somebody's website."""
    names.check_username(name)
    if f"{name}.{settings.HOSTEL_CONFIG.sites.domain}" == settings.HOSTEL_CONFIG.panel_host:
        raise names.InvalidName(f"The name {name!r} is the panel's own; choose another one.")
    return name


class HostelUserManager(UserManager["User"]):
    use_in_migrations = False

    def add(self, name: str, *, password: str) -> "User":
        """A new user, in one transaction with the version that tells the agent. Raises InvalidName or UserExists."""
        user = self.model(username=check_new_username(name))
        user.set_password(password)  # slow on purpose, so before the write lock
        try:
            with transaction.atomic():
                user.revision = advance().revision
                user.save(force_insert=True)
                record(user, Deed.USER_ADD, user.username)
                return user
        except IntegrityError as error:
            raise UserExists(f"There is a user {name!r} already.") from error

    def named(self, name: str) -> "User":
        try:
            return self.get(username=name)
        except self.model.DoesNotExist:
            raise UnknownUser(f"There is no user {name!r}.") from None


class User(AbstractUser):
    """An account: what isolation calls a tenant."""

    username = models.CharField(max_length=names.USERNAME_LENGTH_LIMIT, unique=True, validators=[validate_username])
    revision = models.BigIntegerField(default=0, db_index=True)
    # Suspended: not `is_active`, which Django's sessions and our tokens heed. The reason is the operator's own note.
    suspended_at = models.DateTimeField(null=True, default=None)
    suspended_reason = models.TextField(default="", db_default="", blank=True)
    own_limits = models.JSONField(default=dict, db_default={})  # what differs from hostel.toml, by its keys there

    objects: ClassVar[HostelUserManager] = HostelUserManager()

    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def spec(self, *, epoch: int, api_token: str | None) -> TenantSpec:
        return TenantSpec(
            name=self.username,
            version=Version(epoch=epoch, revision=self.revision),
            limits=self.plan.user(),
            suspended=not self.is_active,
            api_token=api_token,
        )

    def current_spec(self, *, api_token: str | None = None) -> TenantSpec:
        return self.spec(epoch=current_version().epoch, api_token=api_token)

    @property
    def plan(self) -> LimitsConfig:
        """The limits in force for this user."""
        plan: LimitsConfig = settings.HOSTEL_CONFIG.limits
        return plan.overridden(self.own_limits)

    @property
    def token(self) -> "ApiToken | None":
        return getattr(self, "api_token", None)

    @property
    def token_to_repeat(self) -> str | None:
        """What a pull says of the token: leave it (None), or forget it (""). Its text is known only when it is made."""
        return None if self.token and self.token.is_in_consoles else ""

    def suspend(self, *, reason: str) -> bool:
        """Stop everything of this user but keep all data. Returns False where it was so already."""
        return self._set_active(False, suspended_at=timezone.now(), suspended_reason=reason)

    def resume(self) -> bool:
        """Returns False where the user was not suspended."""
        return self._set_active(True, suspended_at=None, suspended_reason="")

    def _set_active(self, is_active: bool, **values: object) -> bool:
        with transaction.atomic():
            others = User.objects.filter(pk=self.pk).exclude(is_active=is_active)
            if not others.exists():
                return False
            others.update(is_active=is_active, revision=advance().revision, **values)
            record(self, Deed.USER_RESUME if is_active else Deed.USER_SUSPEND, self.username)
        self.refresh_from_db()
        return True

    def set_operator(self, is_operator: bool) -> bool:
        """Whether this user sees the operators' pages. Returns False where it was so already."""
        with transaction.atomic():
            others = User.objects.filter(pk=self.pk).exclude(is_superuser=is_operator)
            if not others.update(is_superuser=is_operator, is_staff=is_operator):
                return False
            record(self, Deed.USER_OPERATOR, self.username, {"is_operator": is_operator})
        return True

    def change_limits(self, changes: Mapping[str, float | str | None]) -> None:
        """Give this user other limits than hostel.toml has; None goes back to those. Websites hear of it too."""
        with transaction.atomic():
            self.refresh_from_db(fields=["own_limits"])
            changed = {**self.own_limits, **changes}
            self.own_limits = {key: value for key, value in changed.items() if value is not None}
            self.revision = advance().revision
            self.save(update_fields=["own_limits", "revision"])
            self.websites.update(revision=self.revision)
            record(self, Deed.USER_LIMITS, self.username, without_text(changes))

    def change_password(self, password: str) -> None:
        """Also ends all sessions: Django binds them to the password's hash."""
        self.set_password(password)  # slow on purpose, so before the write lock
        with transaction.atomic():
            self.save(update_fields=["password"])
            self.logins.all().delete()
            record(self, Deed.PASSWORD_CHANGE, self.username)

    def replace_token(self) -> str:
        """Make a token, in place of the old one if there was one. Returns its text, for the only time."""
        text = secrets.token_hex(TOKEN_LENGTH // 2)
        with transaction.atomic():
            ApiToken.objects.update_or_create(
                user=self,
                defaults={"digest": digest_of(text), "created_at": timezone.now(), "is_in_consoles": True},
            )
            self._advance()
            record(self, Deed.FULL_TOKEN_CREATE)
        return text

    def drop_token(self) -> bool:
        """Revoke the token. Returns False if there was none."""
        with transaction.atomic():
            count, _ = ApiToken.objects.filter(user=self).delete()
            if count:
                self._advance()
                record(self, Deed.FULL_TOKEN_REVOKE)
        return count > 0

    def keep_token_from_consoles(self) -> None:
        """The agent did not get the new token: let its next pull forget the old one."""
        with transaction.atomic():
            ApiToken.objects.filter(user=self).update(is_in_consoles=False)
            self._advance()

    def remove(self) -> tuple[list[WireTombstone], WireTombstone]:
        """Delete the account with its websites; returns their tombstones and its own. Name and domains are free.

        Raises UnknownUser where somebody was faster: a second tombstone could hit a user of that name made since.
        """
        with transaction.atomic():
            if not User.objects.filter(pk=self.pk).exists():
                raise UnknownUser(f"There is no user {self.username!r}.")
            domains = self.websites.order_by("id").values_list("canonical_name", flat=True)
            websites = [Tombstone.objects.put_up(Kind.WEBSITE, domain) for domain in list(domains)]
            tenant = Tombstone.objects.put_up(Kind.TENANT, self.username)
            record(self, Deed.USER_REMOVE, self.username)
            self.delete()
        return websites, tenant

    def add_token(
        self, name: str, *, scopes: Collection["Scope"], expires_at: datetime | None
    ) -> "tuple[NamedToken, str]":
        """A token of limited power, and its text, for the only time. Raises TokenExists or TooManyTokens."""
        text = secrets.token_hex(TOKEN_LENGTH // 2)
        words = sorted(scopes)
        try:
            with transaction.atomic():
                token = self.named_tokens.create(
                    name=name, digest=digest_of(text), scopes=words, expires_at=expires_at, created_at=timezone.now()
                )
                if self.named_tokens.count() > NAMED_TOKENS_MOST:
                    raise TooManyTokens
                until = {"expires_at": expires_at.isoformat()} if expires_at else {}
                record(self, Deed.TOKEN_CREATE, name, {"id": token.pk, "scopes": words, **until})
        except IntegrityError as error:
            raise TokenExists(f"You have a token {name!r} already.") from error
        return token, text

    def end_logins(self, session_keys: Collection[str]) -> int:
        """Returns how many there were of these."""
        with transaction.atomic():
            count, _ = self.logins.filter(session_key__in=session_keys).delete()
            if count:
                record(self, Deed.LOGIN_END, self.username, {"logins": count})
        return count

    def _advance(self) -> None:
        self.revision = advance().revision
        self.save(update_fields=["revision"])


def digest_of(token: str) -> str:
    """A plain hash is enough: the token has 160 random bits, so there is nothing to guess through it."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def find(self, text: str) -> "ApiToken | None":
        return self.filter(digest=digest_of(text)).select_related("user").first()


class ApiToken(models.Model):
    """What stands for a password in API calls: full power over one account."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="api_token")
    digest = models.CharField(max_length=64, unique=True)  # SHA-256, hex
    created_at = models.DateTimeField()
    is_in_consoles = models.BooleanField(default=True)  # False: the agent could not be told, API_TOKEN is not set

    objects = ApiTokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"token of {self.user}"


class Scope(models.TextChoices):
    """What a named token may do. Part of the API: values are added, never changed."""

    WEBSITES_READ = "websites:read"
    WEBSITES_WRITE = "websites:write"  # reads too: each change is answered with how the website is
    FILES = "files"


class NamedTokenQuerySet(models.QuerySet["NamedToken"]):
    def find(self, text: str) -> "NamedToken | None":
        return self.filter(digest=digest_of(text)).select_related("user").first()


class NamedToken(models.Model):
    """A token of limited power, for one program. When it was used last, `uses.py` knows better than the row."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="named_tokens")
    name = models.CharField(max_length=50)
    digest = models.CharField(max_length=64, unique=True)  # SHA-256, hex
    scopes = models.JSONField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True, default=None)

    objects = NamedTokenQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="one_token_a_name")]

    def __str__(self) -> str:
        return f"token {self.name} of {self.user}"

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or (scope is Scope.WEBSITES_READ and Scope.WEBSITES_WRITE in self.scopes)

    def revoke(self) -> bool:
        """Invalid at once. Returns False where somebody was faster."""
        token_id = self.pk
        with transaction.atomic():
            count, _ = NamedToken.objects.filter(pk=token_id).delete()
            if count:
                record(self.user, Deed.TOKEN_DELETE, self.name, {"id": token_id})
        return count > 0


class Login(AbstractBaseSession):
    """A session of a browser, kept by `sessions.py`. Its key is as good as the password: it is shown to nobody."""

    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="logins")  # None: of nobody
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=80, blank=True)
    started_at = models.DateTimeField()
    last_used_at = models.DateTimeField()

    class Meta:
        verbose_name = "login"
        verbose_name_plural = "logins"

    @classmethod
    def get_session_store_class(cls) -> "type[SessionStore]":
        return SessionStore
