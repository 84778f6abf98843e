"""A few faults of `make faults` for every run of the tests, none of them on Spark."""

import random
from pathlib import Path

import pytest

from tests.faults.faults import KINDS, NEEDS_MOUNT, can_mount
from tests.faults.world import World

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks for surviving processes in Linux's /proc"
)
FEW = [
    ("signal", "train"),
    ("flipped", "train"),
    ("missing", "baselines"),
    ("extra", "train"),
    ("file size", "train"),
    ("full disk", "train"),
    ("read-only", "train"),
    ("signal", "ingest"),
    ("missing", "downsample"),
    ("cut", "index"),
    ("memory", "index"),
]
STAGES = ["sample", "ingest", "downsample", "index", "train", "baselines"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("faults"), STAGES)


@pytest.mark.parametrize(("kind", "stage"), FEW)
def test_a_fault_ends_in_a_sentence_or_the_right_outputs(world, tmp_path, kind, stage):
    if kind in NEEDS_MOUNT and not can_mount(tmp_path):
        pytest.skip("this user may not mount a file system")
    folder = world.copy(tmp_path / "project", stage)
    assert KINDS[kind][1](world, stage, folder, random.Random(f"{kind} {stage}")) is None
