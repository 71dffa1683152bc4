"""The command line: `gpac report NET` and `gpac check CERTIFICATE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpac import __version__
from gpac.errors import GpacError
from gpac.verify import checker

from .report.page import check_folder, claim, percent, write_page
from .report.run import Report, Step, report


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 bad input (one sentence on stderr), 130 interrupted.

    `check` returns 1 for a file that does not prove its theorem.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except GpacError as error:
        print(f"gpac: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpac: interrupted; nothing was written", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpac", description="Networks as polynomial differential equations.")
    parser.add_argument("--version", action="version", version=f"gpac-compile {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("report", help="compile, run, prove and measure a network file; write one page")
    one.add_argument("network", help="an .onnx file, Verisig's .yml, or .json of compile.save")
    one.add_argument("--inputs", help=".npz, .npy or .csv; default 1000 random inputs in [-1, 1]")
    one.add_argument("--digits", type=_positive, default=15, help="decimal digits to prove (default 15)")
    one.add_argument("--out", default="report", help="folder for the page (default report)")
    one.set_defaults(run=_report)
    one = commands.add_parser("check", help="verify a certificate: exit code 0 verified, 1 not, 2 no certificate")
    one.add_argument("certificate", help="a file that proof.certificate wrote")
    one.set_defaults(run=lambda options: checker.main([options.certificate]))
    return parser


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number of digits from 1 to 1000, got {text!r}")
    return number


def _report(options: Any) -> int:
    folder = check_folder(options.out)
    with _progress() as step:
        result = report(options.network, options.inputs, options.digits, step)
        step("writing the page", 0.0)
        page, data = write_page(result, folder)
    _print(result)
    print(f"page: {page}\ndata: {data}")
    return 0


@contextmanager
def _progress() -> Iterator[Step]:
    """One bar per stage on stderr, gone from view when the output is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bars: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def step(what: str, fraction: float) -> None:
            if what not in bars:
                for done in bars.values():
                    progress.update(done, completed=1.0)
                bars[what] = progress.add_task(what, total=1.0)
                if not console.is_terminal:
                    print(f"{what} ...", file=sys.stderr, flush=True)
            progress.update(bars[what], completed=fraction)

        yield step
        for done in bars.values():
            progress.update(done, completed=1.0)


def _print(result: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result.file}: {result.network!r}, {result.samples.source}", title_justify="left")
    for heading in ("scheme", "output is", "accuracy", "difference to forward", "digits lost", "proven", "steps", "s"):
        table.add_column(heading, justify="left" if heading in ("scheme", "output is") else "right")
    table.add_row("forward", "", percent(result.accuracy), "", f"{result.forward_digits_lost:.1f}", "", "", "")
    for s in result.schemes:
        proven = "-" if s.proof is None else f"{s.proof.digits} digits" if s.proof.balls else s.proof.answer.name
        steps = f"{s.solution.steps.max()}"
        row = (
            percent(s.accuracy),
            f"{s.difference:.2g}",
            f"{s.digits_lost:.1f}",
            proven,
            steps,
            f"{s.solve_seconds:.2f}",
        )
        table.add_row(s.name, claim(s), *row)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    for name, reason in result.left_out.items():
        print(f"{name} was not run: {reason}")


if __name__ == "__main__":
    sys.exit(main())
