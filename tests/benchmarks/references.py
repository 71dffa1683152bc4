"""Makes references.npz: the ends of the first 64 trajectories of J1, J1W and J2, each number as two doubles.

Made by `gpac.reference`: Taylor series in mpmath numbers of 160 bits, local errors about 2**-160; and the first
64 starts of J1W. Agrees with heyoka in 128-bit arithmetic to 1e-32.
Run from `tests/` as `PYTHONPATH=.. python -m benchmarks.references`; takes some minutes.
"""

from __future__ import annotations

import numpy as np

import gpac

from .jobs import REFERENCES, lorenz_starts, neural_ode
from .ours import lorenz, neural_ode_circuit

COUNT = 64
BITS = 160


def two_doubles(values: tuple) -> list[tuple[float, float]]:
    """The nearest double and what it lacks, also as a double: together about 106 bits."""
    return [(float(v), float(v - float(v))) for v in values]


def main() -> None:
    """Write the file."""
    system, arrays = lorenz(), neural_ode()
    circuit = neural_ode_circuit(arrays)
    ends: dict[str, list] = {"J1": [], "J1W": [], "J2": []}
    for start, wide, h in zip(lorenz_starts(), lorenz_starts(wide=True), arrays["start"][:COUNT], strict=False):
        ends["J1"].append(gpac.reference(system, t=5, initial=start, bits=BITS))
        ends["J1W"].append(gpac.reference(system, t=5, initial=wide, bits=BITS))
        ends["J2"].append(gpac.reference(circuit, t=1, inputs=h, bits=BITS))
        print(f"{len(ends['J2'])} of {COUNT}", flush=True)
    stored = {n: np.array([two_doubles(r.outputs) for r in runs]) for n, runs in ends.items()}
    np.savez(REFERENCES, **stored, **{"J1W starts": lorenz_starts(wide=True)[:COUNT]})


if __name__ == "__main__":
    main()
