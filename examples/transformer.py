"""Is a transformer an analog program? Attention, GELU and layer norms as one polynomial system, exact at t = 1."""

import numpy as np

import gpac
from compile import enclose_forward, forward, homotopy, sequential
from compile.build import as_network, linear
from compile.layers import causal, encoder_block
from compile.layers.attention import Block, Projections
from compile.value import network_input

TOKENS, WIDTH = 4, 6
rng = np.random.default_rng(0)


def matrix(rows: int, columns: int) -> np.ndarray:
    return rng.normal(size=(rows, columns)) / np.sqrt(columns)


heads = Projections.packed(matrix(3 * WIDTH, WIDTH), None, matrix(WIDTH, WIDTH), None, heads=2)
norms = ((np.ones(WIDTH), np.zeros(WIDTH), 1e-5),) * 2
dense = ((matrix(2 * WIDTH, WIDTH), None), (matrix(WIDTH, 2 * WIDTH), None))
block = Block(heads, dense, norms, activation="gelu", first=True)

tokens = network_input((TOKENS, WIDTH))
hidden = encoder_block(tokens, block, causal(TOKENS, TOKENS))
network = as_network(linear(hidden[-1], matrix(3, WIDTH)).softmax(), "transformer", tokens.shape)

x = rng.normal(size=(5, TOKENS, WIDTH))
print(network)
for scheme in (homotopy, sequential):
    program = scheme(network)
    outputs = gpac.solve(program, inputs=x.reshape(5, -1), tol=1e-14).check().outputs
    difference = np.abs(outputs - forward(network, x)).max()
    print(f"{scheme.__name__}: {program}, {difference:.1e} from float64 evaluation")
    assert difference < 1e-11  # a step's error of 1e-14, passed on through two norms and two softmaxes

exact = enclose_forward(network, x[0].reshape(-1), digits=30)
print("the first input's probabilities:", *(b.str(20, radius=False) for b in exact.balls))
assert abs(float(sum(exact.mid)) - 1) < 1e-15
