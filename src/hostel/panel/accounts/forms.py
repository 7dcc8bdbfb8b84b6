"""The form to log in: Django's, and a word for those who are suspended."""

from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

from hostel.panel.accounts.models import SUSPENDED, User
from hostel.wire.errors import AccountSuspended


class LoginForm(AuthenticationForm):
    is_suspended = False

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
