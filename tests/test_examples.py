"""Every example runs alone and keeps its own assertions."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
TRAINING = {"train_digits.py": "torch", "train_ring.py": "torch", "export.py": "torch"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_runs_alone(path, tmp_path):
    if path.name in TRAINING:
        if importlib.util.find_spec(TRAINING[path.name]) is None:
            pytest.skip(f"{path.name} needs {TRAINING[path.name]} (extra dev)")
        pytest.skip("training writes the stored networks anew; run it by hand")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()
