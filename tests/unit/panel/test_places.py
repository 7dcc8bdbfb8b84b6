"""One user cannot take all of the panel's threads."""

from contextlib import ExitStack

import pytest

from hostel.panel.accounts.places import MOST, TooManyAtOnce, place_of


def test_who_has_many_requests_under_way_waits_and_others_do_not(owner, other):
    page = f"/user/{owner.name}/"
    browser = owner.log_in()
    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(place_of(owner.name))
        refused = owner.call("GET", owner.websites_url)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
        assert refused.json()["code"] == "too_many_at_once"
        shown = browser.get(page, secure=True)
        assert (shown.status_code, shown.headers["Retry-After"]) == (429, "5")
        assert other.call("GET", other.websites_url).status_code == 200
    assert owner.call("GET", owner.websites_url).status_code == 200
    assert browser.get(page, secure=True).status_code == 200


def test_a_place_is_given_back_whatever_happens():
    for _ in range(MOST + 1):
        with pytest.raises(ValueError, match="oops"), place_of("xanthippe"):
            raise ValueError("oops")
    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(place_of("xanthippe"))
        with pytest.raises(TooManyAtOnce):
            stack.enter_context(place_of("xanthippe"))
