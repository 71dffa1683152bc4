"""Every exception of the project: each message says what was expected, what came and what to do."""


class GpacError(Exception):
    """Base of all errors raised on purpose; its text is a sentence meant for the caller."""


class ShapeError(GpacError, ValueError):
    """Sizes of wires, matrices or arrays do not fit together."""


class CircuitError(GpacError, ValueError):
    """A circuit is not well formed: algebraic loop, undefined wire, integrator without a moving variable."""


class NumberError(GpacError, ValueError):
    """A number is not what the place needs: not finite, not exact, out of range."""


class SolveError(GpacError, RuntimeError):
    """A trajectory did not reach its end; raised by `Solution.check` and by `gpac.reference`."""


class InvariantError(GpacError, AssertionError):
    """What a circuit says stays constant lies outside its enclosure: the claim or the proof is wrong."""


class WorkerError(GpacError, RuntimeError):
    """Workers of an executor were lost again and again, so that a piece of a batch could not be solved."""


class LoadError(GpacError, ValueError):
    """A file could not be read as what it was given for."""
