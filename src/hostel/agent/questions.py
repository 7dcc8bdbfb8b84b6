"""What a certificate authority asks, between those who order certificates and those who put the answers there."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What the authority asks of one name, and the answer that it wants to find: at a path, or in the DNS."""

    name: str
    token: str
    answer: str


Answer = Callable[[Question], Callable[[], None]]  # put the answer there; what it returns takes it away again
