"""Who may see a page below `/user/<name>/`."""

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse

from hostel.panel.accounts.models import User
from hostel.panel.audit.models import Actor, Via, act_as
from hostel.panel.ratelimit import address_of


def own_page(view: Callable[[HttpRequest, User], HttpResponse]) -> Callable[..., HttpResponse]:
    """Call `view` with the user whose page this is. Anybody else logs in or meets a page that does not exist."""

    @login_required
    def for_owner(request: HttpRequest, username: str) -> HttpResponse:
        if not isinstance(request.user, User) or request.user.username != username:
            raise Http404
        act_as(Actor(via=Via.PAGE, name=username, address=address_of(request)))
        return view(request, request.user)

    return for_owner
