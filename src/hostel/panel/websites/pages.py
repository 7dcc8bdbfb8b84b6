"""What all pages of one website share: whose it is, and what becomes of deeds that are refused."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect

from hostel.panel.accounts.models import User
from hostel.panel.accounts.pages import own_page
from hostel.panel.websites.models import Website
from hostel.wire.errors import HostelError

# How long a POST waits for a change to be done. What takes longer goes on, and its page shows how far it is.
WAIT_S = 1

Rest = ParamSpec("Rest")


def own_website(
    view: Callable[Concatenate[HttpRequest, Website, Rest], HttpResponse],
) -> Callable[..., HttpResponseBase]:
    """Call `view` with the website of that domain, which is the visitor's own; any other is not there.

    What a POST is refused is said on the page of the website, unless the view has a better place for it.
    """

    @own_page
    def for_owner(
        request: HttpRequest, user: User, /, domain_name: str, *args: Rest.args, **kwargs: Rest.kwargs
    ) -> HttpResponseBase:
        website = user.websites.all().find(domain_name)
        if website is None:
            raise Http404
        website.owner = user  # known: saves a query
        try:
            return view(request, website, *args, **kwargs)
        except ObjectDoesNotExist:  # deleted by another call meanwhile
            raise Http404 from None
        except HostelError as error:
            if request.method != "POST":
                raise
            messages.error(request, str(error))
            return to_page("show", website)

    return for_owner


def to_page(name: str, website: Website) -> HttpResponse:
    return redirect(f"websites:{name}", website.owner.username, website.domain_name)
