"""Deeds that change the calling thread, such as entering a namespace, in a thread that ends with them."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def in_new_thread(deed: Callable[[], T]) -> T:
    """Run `deed` in a new thread, wait for it, return what it returns or raise what it raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(deed())
        except BaseException as error:  # raised in the caller's thread below
            errors.append(error)

    thread = threading.Thread(target=run, name="in-new-thread")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
