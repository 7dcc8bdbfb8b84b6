"""Who may see a page below `/user/<name>/`."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse

from hostel.panel.accounts.models import User


def own_page(view: Callable[[HttpRequest, User], HttpResponse]) -> Callable[..., HttpResponse]:
    """Call `view` with the user whose page this is. Anybody else logs in or meets a page that does not exist."""

    @login_required
    def for_owner(request: HttpRequest, username: str) -> HttpResponse:
        if not isinstance(request.user, User) or request.user.username != username:
            raise Http404
        return view(request, request.user)

    return for_owner
