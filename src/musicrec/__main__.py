"""The program `musicrec`, also `python -m musicrec`."""

from __future__ import annotations

from typing import NoReturn

from musicrec import runtime


def run() -> NoReturn:
    """Run the command line, whose imports are part of the work."""

    def main() -> int | None:
        from musicrec.cli import main

        return main()

    runtime.run(main)


if __name__ == "__main__":
    run()
