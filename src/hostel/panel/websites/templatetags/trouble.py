"""How sentences are shown, and addresses made."""

from urllib.parse import urlencode

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hostel.panel.websites.advice import Advice
from hostel.panel.websites.advice import find_advice as find

register = template.Library()


@register.filter
def with_code(text: str) -> SafeString:
    """`text` with what stands in backticks as code; everything else in it is text, whoever wrote it."""
    parts = text.split("`")
    return format_html_join("", "{}", ((_code(part) if at % 2 else part,) for at, part in enumerate(parts)))


def _code(text: str) -> SafeString:
    return format_html("<code>{}</code>", text)


@register.filter
def find_advice(reason: str | None) -> Advice | None:
    return find(reason)


@register.simple_tag
def querystring_of(**values: str) -> str:
    """What stands behind the question mark; the template escapes it."""
    return urlencode(values)
