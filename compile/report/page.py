"""One self-contained HTML page, and the same figures as JSON beside it."""

from __future__ import annotations

import json
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gpac.description import describe
from gpac.errors import GpacError
from gpac.files import replace_file
from gpac.schedule import Schedule
from gpac.verify import Answer

from .nearness import words
from .pictures import pictures
from .run import PROVABLE, TOL, Report, SchemeResult, figures

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p.lead { color: #444; margin-top: 0; } .scroll { overflow-x: auto; } td.words { white-space: pre-line; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child, .words { text-align: left; } thead th { border-bottom: 2px solid #1f4e79; }
td.digits { font-family: ui-monospace, monospace; font-size: .75rem; padding: .28rem .4rem; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; } figcaption { color: #444; }
"""


def check_folder(folder: str | Path) -> Path:
    """Make the output folder and see that it can be written, before any work is done."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise GpacError(f"cannot write to the folder {folder}: {error.strerror or error}") from error
    return folder


def write_page(result: Report, folder: str | Path) -> tuple[Path, Path]:
    """Write `<name>.html` and `<name>.json` into a folder; each appears whole or not at all."""
    folder = check_folder(folder)
    name = Path(result.file).stem
    page, data = folder / f"{name}.html", folder / f"{name}.json"
    texts = {data: json.dumps(figures(result), indent=1) + "\n", page: html(result)}
    for path, text in texts.items():
        replace_file(path, text)
    return page, data


def html(result: Report) -> str:
    """The page as text."""
    network = result.network
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(result.file)} as an analog program</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(result.file)} as an analog program</h1>",
        f"<p class='lead'>{escape(repr(network))}; {escape(result.samples.source)}.</p>",
        *_agreement(result),
        *_programs(result),
        *_cost(result),
        *_proofs(result),
    ]
    for title, drawing in pictures(result).items():
        parts.append(f"<h2>{escape(title)}</h2><figure>{drawing}</figure>")
    parts += [*_bits(result), _notes(result), "</body></html>"]
    return "\n".join(parts)


def _table(head: list[str], rows: list[list[Any]], digits_from: int | None = None) -> str:
    """A table; columns of balls are set in fixed width, columns of words to the left."""
    words = [any(str(row[k])[:1].isalpha() for row in rows) for k in range(len(head))]

    def kind(k: int) -> str:
        return "digits" if digits_from is not None and k >= digits_from else "words" if words[k] else "number"

    def cell(k: int, value: Any) -> str:
        return f"<td class='{kind(k)}'>{escape(str(value))}</td>"

    body = "".join("<tr>" + "".join(cell(k, v) for k, v in enumerate(row)) + "</tr>" for row in rows)
    top = "".join(f"<th class='{kind(k)}'>{escape(h)}</th>" for k, h in enumerate(head))
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def claim(scheme: SchemeResult) -> str:
    """What a scheme's program says of its output, in a few words."""
    said = scheme.program.program
    what = {"exact": "exact", "limit": "tends to the network", "within": "near"}[said.claim]
    near = "" if said.delta is None else f" within {float(said.delta):.2g}"
    form = "" if said.claim == "limit" else ", a schedule" if isinstance(scheme.program, Schedule) else ", one system"
    return f"{what}{near}{form}"


def percent(share: float | None) -> str:
    """A share as a percentage, or a dash."""
    return "-" if share is None else f"{100 * share:.2f} %"


def _agreement(result: Report) -> list[str]:
    rows = [["forward (float64)", "", percent(result.accuracy), "", "", f"{result.forward_digits_lost:.1f}", ""]]
    if result.near is not None:
        rows[0][0] = "forward (float64, smooth)"
        share = percent(result.accuracy_with_kinks)
        rows.insert(0, ["the network itself", "", share, f"{result.near.seen:.2g}", "", "", ""])
    for s in result.schemes:
        numbers = [f"{s.difference:.2g}", f"{s.relative:.2g}", f"{s.digits_lost:.1f}", f"{s.predicted:.1f}"]
        rows.append([s.name, claim(s), percent(s.accuracy), *numbers])
    head = ["scheme", "output is", "accuracy", "largest difference to forward", "relative", "digits lost", "predicted"]
    note = (
        "Digits lost: decimal digits of float64's 16 that the largest error, against the network's exact outputs "
        "in ball arithmetic, has cost. Predicted is what the arithmetic alone is expected to lose; the solver's "
        f"tolerance of {TOL:g} may add up to two digits."
    )
    missing = [f"<p>{name} was not run: {escape(reason)}.</p>" for name, reason in result.left_out.items()]
    near = [] if result.near is None else [f"<p>{escape(words(result.near))}</p>"]
    return ["<h2>Agreement with the network</h2>", _table(head, rows), *near, f"<p>{note}</p>", *missing]


def _programs(result: Report) -> list[str]:
    said = {s.name: describe(s.program).sentences() for s in result.schemes}
    if not said:
        return []
    subjects = list(next(iter(said.values())))
    rows = [[subject, *(_broken(words[subject]) for words in said.values())] for subject in subjects]
    return ["<h2>What each program says of itself</h2>", _table(["", *said], rows)]


def _broken(text: str) -> str:
    """Long sentences in lines."""
    return text.replace("; ", ";\n")


def _cost(result: Report) -> list[str]:
    head = ["scheme", "states", "degree", "time", "length", "space", "steps", "order", "compile s", "run s"]
    rows = []
    for s in result.schemes:
        run = s.solution
        rows.append(
            [
                s.name,
                s.program.dim,
                s.program.degree,
                f"{np.median(run.t):.4g}",
                f"{np.median(run.length):.5g}",
                f"{np.median(run.space):.4g}",
                f"{np.median(run.steps):.0f}",
                f"{np.mean(run.orders):.1f}",
                f"{s.compile_seconds:.3g}",
                f"{s.solve_seconds:.3g}",
            ]
        )
    note = (
        "Median over the inputs. Time and length are those of the analog program; length is that of the curve of "
        "all states; degree is counted on the circuit, not expanded. Seconds on this machine."
    )
    return ["<h2>What the computation costs</h2>", _table(head, rows), f"<p>{note}</p>"]


def _proofs(result: Report) -> list[str]:
    out = [f"<h2>Proven outputs of the first input, {result.digits} digits asked</h2>"]
    rows: list[list[Any]] = []
    for s in result.schemes:
        if s.proof is None:
            rows.append([s.name, f"not tried: more than {PROVABLE} states", "", "", "", ""])
        elif s.proof.answer is Answer.PROVEN:
            rows.append(
                [
                    s.name,
                    f"{s.proof.digits} digits",
                    s.proof.bits,
                    s.proof.steps,
                    s.proof.order,
                    *_short(s.proof_seconds),
                ]
            )
        else:
            rows.append([s.name, f"{s.proof.answer.name}: {s.proof.reason}", s.proof.bits, "", "", ""])
    out.append(_table(["scheme", "proven", "bits", "steps", "order", "seconds"], rows))
    proven = [s for s in result.schemes if s.proof is not None and s.proof.answer is Answer.PROVEN]
    shown = min(result.digits + 2, 40)
    head = ["output", *(s.name for s in proven), "direct evaluation"]
    balls = [*(s.proof.balls for s in proven if s.proof), result.exact.balls]
    if result.near is not None:
        head, balls = [*head, "the network itself, with kinks"], [*balls, result.near.exact.balls]
    rows = [[f"y[{i}]", *(_ball(column[i], shown) for column in balls)] for i in range(result.network.outputs)]
    out.append(_table(head, rows, digits_from=1))
    of = "network's" if result.near is None else "smooth network's"
    out.append(
        f"<p>Each ball is proven to contain the {of} exact output: by following the differential equation of the "
        "scheme, and by evaluating the network directly.</p>"
    )
    return out


def _short(*numbers: float) -> list[str]:
    return [f"{n:.3g}" for n in numbers]


def _ball(ball: Any, digits: int) -> str:
    return ball.str(digits, radius=True).strip("[]").replace("+/-", "±")


def _bits(result: Report) -> list[str]:
    out = []
    for s in result.schemes:
        if s.cost is None:
            continue
        rows = [
            [
                r.bits,
                r.working_bits,
                f"{r.time:.4g}",
                r.steps,
                r.order,
                r.products,
                *_short(r.bit_operations, r.seconds),
            ]
            for r in s.cost.table
        ]
        head = ["correct bits", "working bits", "time", "steps", "order", "products", "bit operations", "seconds"]
        laws = "; ".join(f"{name.replace('_', ' ')} = {fit}" for name, fit in s.cost.fits.items())
        out += [f"<h2>Cost of correct bits: {s.name}, table</h2>", _table(head, rows), f"<p>{escape(laws)}</p>"]
    return out


def _notes(result: Report) -> str:
    return (
        "<h2>How to read this</h2><p>Every activation is a polynomial differential equation; for instance "
        "u = tanh(z) and d = 1 - u² obey du = d dz, dd = -2u du. Homotopy switches input and offsets on along t "
        "from 0 to 1; sequential runs layer after layer; relaxation lets all layers settle at once and stops when "
        f"its proven bound says so. Made in {result.seconds:.1f} s.</p>"
    )
