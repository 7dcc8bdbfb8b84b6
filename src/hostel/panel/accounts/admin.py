"""Users and their plans, for operators: the same deeds as `hostel user`, by the same methods."""

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from hostel.panel.accounts import upkeep
from hostel.panel.accounts.models import User, check_new_username
from hostel.wire.config import LIMIT_KEYS, parse_limit
from hostel.wire.errors import BadLimit, HostelError
from hostel.wire.names import InvalidName

if TYPE_CHECKING:  # Django's own classes take no parameters
    _ModelForm = forms.ModelForm[User]
    _ModelAdmin = admin.ModelAdmin[User]
else:
    _ModelForm = forms.ModelForm
    _ModelAdmin = admin.ModelAdmin

admin.site.unregister(Group)  # nothing here asks for groups


class NewUserForm(_ModelForm):
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    class Meta:
        model = User
        fields = ("username",)

    def clean_username(self) -> str:
        try:
            return check_new_username(self.cleaned_data["username"])
        except InvalidName as error:
            raise ValidationError(str(error)) from error

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, User(username=self.cleaned_data.get("username", "")))
        return password


class UserForm(_ModelForm):
    """Has a field for each limit too: empty is what hostel.toml has."""

    new_password = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Empty: as it is. A new one logs all browsers of the user out.",
    )

    class Meta:
        model = User
        fields = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, key in LIMIT_KEYS.items():
            self.fields[name] = forms.CharField(
                required=False,
                max_length=20,
                label=name,
                initial=self.instance.own_limits.get(key, ""),
                help_text=f"In force: {getattr(self.instance.plan, key)}.",
            )

    def clean_new_password(self) -> str:
        password: str = self.cleaned_data["new_password"]
        if password:
            validate_password(password, self.instance)
        return password

    def clean(self) -> None:
        self.limits: dict[str, float | str | None] = {}
        for name in LIMIT_KEYS:
            given = str(self.cleaned_data.get(name, "")).strip()
            try:
                key, value = parse_limit(f"{name}={given or 'default'}")
            except BadLimit as error:
                self.add_error(name, str(error))
            else:
                if self.instance.own_limits.get(key) != value:
                    self.limits[key] = value


@admin.register(User)
class UserAdmin(_ModelAdmin):
    list_display = ("username", "websites_count", "state", "is_operator", "date_joined")
    list_filter = ("is_active",)
    search_fields = ("username",)
    ordering = ("username",)
    actions = ("suspend", "resume")
    readonly_fields = ("username", "state", "suspended_reason", "date_joined", "last_login", "is_operator")

    # -- what is shown

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Django would let the list be filtered by each field: a hash could be guessed letter by letter."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).annotate(websites_number=Count("websites"))

    @admin.display(description="websites")
    def websites_count(self, user: User) -> int:
        return cast("int", getattr(user, "websites_number", 0))

    @admin.display(description="state")
    def state(self, user: User) -> str:
        return "active" if user.is_active else f"suspended since {user.suspended_at:%Y-%m-%d %H:%M} UTC"

    @admin.display(description="operator", boolean=True)
    def is_operator(self, user: User) -> bool:
        return user.is_superuser

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        return NewUserForm if obj is None else UserForm

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("username", "password")})]
        limits = ("Plan", {"fields": tuple(LIMIT_KEYS), "description": "Empty is what hostel.toml has for everybody."})
        return [(None, {"fields": self.readonly_fields}), ("Password", {"fields": ("new_password",)}), limits]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    # -- deeds

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Never `obj.save()`: what agents must hear of goes through the methods of User."""
        if not change:
            added = User.objects.add(obj.username, password=form.cleaned_data["password"])
            obj.__dict__.update(added.__dict__)
            self._tell(request, lambda: upkeep.tell_of_user(added))
            return
        if form.limits:
            obj.change_limits(form.limits)
            self._tell(request, lambda: upkeep.tell_of_limits(obj))
        if form.cleaned_data["new_password"]:
            obj.change_password(form.cleaned_data["new_password"])

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        websites, tenant = obj.remove()
        self._tell(request, lambda: upkeep.tell_of_removal(websites, tenant))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.exclude(username=request.user.get_username()):
            self.delete_model(request, user)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Not oneself: the last operator would be gone."""
        return obj is None or obj.pk != request.user.pk

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with a user is not asked about one by one: nothing of it has pages here."""
        names = [str(user) for user in objs]
        return names, {"users": len(names)}, set(), []

    @admin.action(description="Suspend: stop all that runs, keep all data", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            if user.pk == request.user.pk:
                self.message_user(request, "You would lock yourself out.", messages.ERROR)
            elif user.suspend(reason=f"by {request.user.get_username()}"):
                self._tell_now(request, user)

    @admin.action(description="End the suspension", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            if user.resume():
                self._tell_now(request, user)

    def _tell_now(self, request: HttpRequest, user: User) -> None:
        self._tell(request, lambda: upkeep.tell_of_user(user))

    def _tell(self, request: HttpRequest, deed: Any) -> None:
        """The agent hears of it when the row is committed."""

        def tell() -> None:
            error: HostelError | None = deed()
            if error is not None:
                text = f"{error} It will be so when the agent has seen this."
                self.message_user(request, text, messages.WARNING)

        transaction.on_commit(tell)
