"""Parsers of the command line, which answer wrong usage with one sentence."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

LISTS = ("--plays", "--candidates", "--exclude")
ID_OPTIONS = ("--user", "--track", *LISTS)


def number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """Parse a number of a range, both ends of it allowed."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least} to {most}")
        return value

    return parse


class SentenceParser(argparse.ArgumentParser):
    """A parser that answers wrong usage with one sentence."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"error: {message}; `{self.prog} --help` lists what there is\n")


class IdParser(SentenceParser):
    """A parser whose options of ids take the next words as they are, dashes and all."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, with every word of an option of ids bound to it: `--user -x` is `--user=-x`."""
        words = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(self._bound(words), namespace)

    def _bound(self, words: list[str]) -> list[str]:
        bound: list[str] = []
        option: str | None = None
        for word in words:
            known = self._option_string_actions
            if word.partition("=")[0] in known or (word[:2] == "-k" and word[2:].isdigit()):
                option = word if word in ID_OPTIONS and word in known else None
                bound.append(word)
            elif option is not None:
                if bound[-1] == option:
                    bound.pop()
                bound.append(f"{option}={word}")
                option = option if option in LISTS else None
            else:
                bound.append(word)
        return bound


Commands: TypeAlias = "argparse._SubParsersAction[IdParser]"


def add_command(
    commands: Commands, name: str, about: str | None, run: Callable[[argparse.Namespace], object]
) -> IdParser:
    """Add a sub-command; of what it is about, the first line stands in the list of commands."""
    parser = commands.add_parser(name, help=(about or "").partition("\n")[0], description=about)
    parser.set_defaults(run=run)
    return parser
