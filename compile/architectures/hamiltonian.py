"""Hamiltonian and antisymmetric networks: fields that keep an energy, or whose linear part neither grows nor decays.

H(h) = sum of ln cosh(K h + b) has the gradient K' tanh(K h + b); h' = J grad H with an antisymmetric J keeps H.
Sources: Haber and Ruthotto, Inverse Problems 34 (2018) 014004; Galimberti, Furieri, Xu and Ferrari-Trecate, IEEE
Trans. Automatic Control 68 (2023), Hamiltonian deep neural networks; Chang et al., ICLR 2019 (AntisymmetricRNN).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpac.errors import ShapeError
from gpac.exact import to_exact

from ..build import as_network, linear
from ..network import Network
from ..operations import Tanh, dense
from ..value import affine, network_input


def canonical(half: int) -> np.ndarray:
    """The matrix [[0, I], [-I, 0]] of size 2 * half."""
    J = np.zeros((2 * half, 2 * half))
    J[:half, half:], J[half:, :half] = np.eye(half), -np.eye(half)
    return J


def hamiltonian_field(K: Any, b: Any = None, J: Any = None) -> Network:
    """h' = J K' tanh(K h + b): K (m, n), J (n, n) antisymmetric, by default `canonical(n // 2)`."""
    K = np.asarray(K, dtype=np.float64)
    n = K.shape[1]
    J = canonical(n // 2) if J is None else np.asarray(J, dtype=np.float64)
    if J.shape != (n, n) or (J != -J.T).any():
        raise ShapeError(f"expected an antisymmetric J of shape {(n, n)}, got one of shape {J.shape}; n must be even")
    return Network(n, [dense(K, b), Tanh(), dense(K.T.copy()), dense(J)], "J grad H")


def energy(K: Any, b: Any = None) -> Network:
    """H(h) + m ln 2 = sum of ln cosh(K h + b) + m ln 2: constant along the flow of `hamiltonian_field`.

    ln cosh z + ln 2 = softplus(2 z) - z.
    """
    K = np.asarray(K, dtype=np.float64)
    z = linear(network_input((K.shape[1],)), K, b)
    ones = np.ones((1, len(K)))
    return as_network(affine([(ones, (z * 2).apply("softplus")), (-ones, z)], 0, (1,)), "H + m ln 2")


def separable(K: Any, b: Any, L: Any, c: Any) -> tuple[Network, Network]:
    """(f, g) of X' = f(Y) = K' tanh(K Y + b), Y' = g(X) = -L' tanh(L X + c), for `coupled` and `revnet`.

    They keep sum of ln cosh(K Y + b) + sum of ln cosh(L X + c).
    """
    K, L = np.asarray(K, dtype=np.float64), np.asarray(L, dtype=np.float64)
    f = Network(K.shape[1], [dense(K, b), Tanh(), dense(K.T.copy())])
    return f, Network(L.shape[1], [dense(L, c), Tanh(), dense(-L.T)])


def antisymmetric_field(W: Any, b: Any = None, damping: Any = 0) -> Network:
    """h' = tanh((W - W' - damping I) h + b), differences exact: the eigenvalues have real part -damping."""
    W = np.asarray(W, dtype=np.float64)
    h = network_input((len(W),))
    terms: list[Any] = [(W, h), (-W.T, h)]
    if to_exact(damping) != 0:
        terms.append((np.full(len(W), -to_exact(damping), dtype=object), h))
    return as_network(affine(terms, 0 if b is None else b, h.shape).apply("tanh"), "antisymmetric")
