"""The forms of the Account pages: to log in, and for a token of limited power."""

from datetime import datetime, timedelta

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.utils import timezone

from hostel.panel.accounts.models import NAME_WANTED, SUSPENDED, TOKEN_NAME, Scope, User
from hostel.wire.errors import AccountSuspended


class LoginForm(AuthenticationForm):
    """Django's, and a word for those who are suspended."""

    is_suspended = False

    @property
    def user(self) -> User:
        """Who has shown the right password."""
        found = self.get_user()
        if not isinstance(found, User):
            raise TypeError("the form was not valid")
        return found

    def get_invalid_login_error(self) -> ValidationError:
        """Who knows the password of a suspended account is told so; everybody else hears the same words as ever.

        It takes a suspended account's visitor twice as long, which tells no more than the account's websites do.
        """
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password", "")
        user = User.objects.filter(username=name, is_active=False).first()
        if user is not None and user.check_password(password):
            self.is_suspended = True
            return ValidationError(SUSPENDED, code=AccountSuspended.code)
        return super().get_invalid_login_error()


class NamedTokenForm(forms.Form):
    SCOPES = [
        (Scope.WEBSITES_READ.value, "Look at websites"),
        (Scope.WEBSITES_WRITE.value, "Create, change, reload and delete websites (and look at them)"),
        (Scope.FILES.value, "Read and write files"),
    ]
    DAYS = [("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("", "Never")]

    name = forms.CharField(
        label="Name", help_text="For you to know it by, as “CI of mysite”.", widget=forms.TextInput({"maxlength": 50})
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=SCOPES,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick at least one.", "invalid_choice": "There is no such choice."},
    )
    days = forms.ChoiceField(label="It ends", choices=DAYS, required=False, initial="90")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not TOKEN_NAME.fullmatch(name):
            raise ValidationError(NAME_WANTED)
        return name

    @property
    def scopes_chosen(self) -> list[Scope]:
        return [Scope(word) for word in self.cleaned_data["scopes"]]

    @property
    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["days"]
        return timezone.now() + timedelta(days=int(days)) if days else None
