"""The command line: `gpac report NET`, the stages `compile`, `solve`, `prove` and `measure`, `gpac check FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from gpac import __version__
from gpac.complexity.measure import BITS
from gpac.errors import GpacError
from gpac.exact import to_exact
from gpac.verify import checker

from . import stages
from .report.nearness import words
from .report.page import check_folder, claim, percent, write_page
from .report.run import Report, Step, report

SMOOTH = "replace relu and the like by analytic functions within DELTA"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 bad input (one sentence on stderr), 130 interrupted.

    `check` returns 1 for a file that does not prove its theorem, `prove` where nothing is proven about the outputs,
    `solve` where a trajectory did not reach its end.
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
    one.add_argument("--smooth", metavar="DELTA", help=SMOOTH)
    one.add_argument("--out", default="report", help="folder for the page (default report)")
    one.set_defaults(run=_report)
    _add_stages(commands)
    one = commands.add_parser("check", help="verify a certificate: exit code 0 verified, 1 not, 2 no certificate")
    one.add_argument("certificate", help="a file that proof.certificate wrote")
    one.set_defaults(run=lambda options: checker.main([options.certificate]))
    return parser


def _add_stages(commands: Any) -> None:
    one = commands.add_parser("compile", help="write the analog program of a network to a file")
    one.add_argument("network", help="an .onnx file, Verisig's .yml, or a network in .json")
    one.add_argument("--scheme", choices=stages.SCHEMES, default="homotopy", help="default homotopy")
    one.add_argument("--smooth", metavar="DELTA", help=SMOOTH)
    one.add_argument("--base", type=_exact_list, help="homotopy: the input to start from, e.g. --base=1/3,-0.5")
    one.add_argument("--rate", type=_exact, help="relaxation: its speed, an exact number (default 1)")
    one.add_argument("--form", choices=("cubic", "quadratic"), help="relaxation: of the equations (default cubic)")
    one.add_argument("--error", type=_exact, help="clocked: of the outputs after one round (default 1e-9)")
    one.add_argument("--reach", type=_exact, help="clocked: size of the inputs for which that holds (default 1)")
    one.add_argument("--duration", type=_exact, help="flow: of h' = network(h) from the input (default 1)")
    one.add_argument("-o", "--out", required=True, help="file to write, e.g. program.json")
    one.set_defaults(run=stages.compile_network)
    for name, run, what, out in (
        ("solve", stages.solve, "run a program for all inputs of a file", "outputs: .npz, .npy or .csv"),
        ("prove", stages.prove, "prove digits of a program's outputs for one input", "the answer: .json"),
        ("measure", stages.measure, "measure what correct bits cost, for one input", "the figures: .json"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("program", help="a file of `gpac compile` or `gpac.save`, or a network with --scheme")
        one.add_argument("--scheme", choices=stages.SCHEMES, help="how to compile a network")
        one.add_argument("--smooth", metavar="DELTA", help=SMOOTH)
        one.add_argument("--inputs", help=".npz, .npy or .csv; for a PIVP its start values")
        one.add_argument("--t", type=_exact, help="end time, exact: 3/2 or 0.1; default the program's own")
        one.add_argument("--out", help=f"file to write {out}")
        one.set_defaults(run=partial(_stage, run, name))
        if name == "solve":
            one.add_argument("--tol", type=float, default=1e-12, help="largest local error (default 1e-12)")
            continue
        one.add_argument("--row", type=int, default=0, help="which of the file's inputs, from 0 (default 0)")
        if name == "measure":
            bits = {"type": _increasing, "default": BITS}
            one.add_argument("--bits", **bits, help="correct bits asked, e.g. 16,32,64 (default 16,32,64,128,256)")
            continue
        one.add_argument("--digits", type=_positive, default=15, help="decimal digits to prove (default 15)")
        one.add_argument("--seconds", type=float, help="time allowed")
        one.add_argument("--certificate", help="write a file that `gpac check` verifies: .json")


def _stage(run: Any, name: str, options: Any) -> int:
    with _progress() as step:
        return int(run(options, lambda fraction: step(name, fraction)))


def _exact(text: str) -> Any:
    try:
        return to_exact(text)
    except GpacError:
        raise argparse.ArgumentTypeError(f"expected an exact number such as 3/2 or 0.1, got {text!r}") from None


def _exact_list(text: str) -> list[Any]:
    return [_exact(part) for part in text.split(",")]


def _increasing(text: str) -> list[int]:
    parts = text.split(",")
    bits = [int(part) if part.isdecimal() else 0 for part in parts]
    if sorted(set(bits)) != bits or not 1 <= bits[0] <= bits[-1] <= 4096:
        raise argparse.ArgumentTypeError(f"expected increasing numbers of bits from 1 to 4096, got {text!r}")
    return bits


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number of digits from 1 to 1000, got {text!r}")
    return number


def _report(options: Any) -> int:
    folder = check_folder(options.out)
    with _progress() as step:
        result = report(options.network, options.inputs, options.digits, step, options.smooth)
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
    if result.near is not None:
        print(words(result.near))
    for name, reason in result.left_out.items():
        print(f"{name} was not run: {reason}")


if __name__ == "__main__":
    sys.exit(main())
