"""Who may see a page below `/user/<name>/`, and who may send its forms."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django_htmx.http import HttpResponseClientRefresh

from hostel.panel.accounts.models import User
from hostel.panel.accounts.places import TooManyAtOnce, place_of
from hostel.panel.accounts.uses import login_uses
from hostel.panel.audit.models import Actor, Via, act_as
from hostel.panel.faults import answer_to_trouble
from hostel.panel.ratelimit import address_of

Rest = ParamSpec("Rest")


def own_page(view: Callable[Concatenate[HttpRequest, User, Rest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Call `view` with the user whose page this is. Anybody else logs in or meets a page that does not exist.

    A part of a page that htmx asks for after the session has ended makes the whole page load anew, and so log in.
    """

    def for_owner(request: HttpRequest, username: str, *args: Rest.args, **kwargs: Rest.kwargs) -> HttpResponseBase:
        if not isinstance(request.user, User):
            if request.headers.get("HX-Request") == "true":
                return HttpResponseClientRefresh()
            return redirect_to_login(request.get_full_path())
        if request.user.username != username:
            raise Http404
        if request.session.session_key:
            login_uses.note(request.session.session_key, timezone.now())
        act_as(Actor(via=Via.PAGE, name=username, address=address_of(request)))
        try:
            with place_of(username):
                return view(request, request.user, *args, **kwargs)
        except TooManyAtOnce as error:
            return answer_to_trouble(request, error)

    return for_owner
