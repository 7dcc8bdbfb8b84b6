"""What all benchmarks have: numbers that may be asked for, `--quick`, and a result beside what the machine was."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from machine import describe

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Amount:
    """An option that takes a number, or a text. With --quick it is `quick`, if given, whatever was asked for."""

    usual: float | str
    quick: float | None = None
    help: str | None = None


class Benchmark:
    """One run of one: what was asked for, by the names of `amounts`, and the machine as it was before."""

    def __init__(self, doc: str | None, *, quick: str = "", **amounts: Amount) -> None:
        """`quick`: what --quick makes less of; without it there is no such option."""
        parser = argparse.ArgumentParser(description=doc)
        for name, amount in amounts.items():
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=type(amount.usual), default=amount.usual, help=amount.help)
        if quick:
            parser.add_argument("--quick", action="store_true", help=f"{quick}, and no result: to try it")
        self.options = parser.parse_args()
        self.is_quick = bool(quick) and self.options.quick
        if self.is_quick:
            for name, amount in amounts.items():
                setattr(self.options, name, getattr(self.options, name) if amount.quick is None else amount.quick)
        self.machine = describe()

    def keep(self, name: str, **figures: object) -> None:
        """As the result `name`, unless it was only tried."""
        if not self.is_quick:
            print(f"written to {write_result(name, {'machine': self.machine, **figures})}")


def write_result(name: str, result: dict[str, object]) -> Path:
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    return file
