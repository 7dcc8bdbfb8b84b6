"""Deeds that change the calling thread, such as entering a namespace, in a thread that ends with them."""

import asyncio
import contextlib
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


async def in_daemon_thread(deed: Callable[[], T], *, name: str) -> T:
    """The same without holding up the loop. `deed` has deadlines of its own: an agent that ends waits for none."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_: Callable[[], None]) -> None:
        if not future.done():
            set_()

    def run() -> None:
        try:
            result = deed()
        except BaseException as error:  # raised where it is awaited
            failure = error
            tell(lambda: future.set_exception(failure))
        else:
            tell(lambda: future.set_result(result))

    def tell(set_: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the agent ends
            loop.call_soon_threadsafe(settle, set_)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
