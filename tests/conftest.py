"""What all tests share: compiled code goes to a folder of its own."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Compiled code of one test run, away from the user's."""
    os.environ["GPAC_CACHE"] = str(tmp_path_factory.mktemp("cache"))
