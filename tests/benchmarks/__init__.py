"""How fast is this project next to the best existing tools, on the same jobs at the same achieved error?

`make bench` runs it; `PYTHONPATH=.. python -m benchmarks --help` (from `tests/`) says what can be asked. It is not
part of the test suite: figures of time belong to a machine, and the peers live in virtual environments of their own.

    jobs.py          what is computed, as arrays, and how large the error may be
    references.py    makes references.npz, the right answers of the jobs without a closed form
    worker.py        the loop in which every tool runs, in its own interpreter
    ours.py, peers/  one tool per file
    screen.py        which settings of a tool reach the error asked
    race.py          those settings against each other, round after round
    proofs.py        proven digits and boxes, beside unproven peers and figures of others
    plain.py         what plain interval arithmetic makes of the same boxes
    network_boxes.py boxes around inputs of networks
    certified.py     bounds on batches after the fact: what they cost, and how far above the errors they are
    clock.py         the least time of some runs
    table.py         Markdown, and RESULTS.md
"""
