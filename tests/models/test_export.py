"""Exported models: equal to ours in a process that has TensorFlow alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.golden.runs import GOLDEN, RUNS, WORKDIRS
from tfflows.models import load

PATHS = {run.name: run.workdir(WORKDIRS) for run in RUNS}

# Run where tfflows cannot be imported.
PROCESS = """
import json, sys
import numpy as np, tensorflow as tf
given = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
model = tf.saved_model.load(sys.argv[1])
label = {"label": given.pop("label")} if "label" in given else {}
labels = {"labels": tf.repeat(label["label"], len(given["images"]))} if label else {}
images, seed = given["images"], given["seed"]
found = {"bits_per_dim": model.bits_per_dim(images, seed, **labels)}
found["sample"] = model.sample(tf.constant(3), seed, tf.constant(0.7), **label)
found["defaults"] = model.bits_per_dim(images, **labels)
found["drawn"] = model.sample(tf.constant(2))
try:
    model.bits_per_dim(images, seed, labels=tf.fill([len(images)], 10**6)) if labels else model.bits_per_dim(images[0])
    refused = False
except (tf.errors.InvalidArgumentError, TypeError):
    refused = True
found["signature"] = model.signatures["bits_per_dim"](images=images, seed=seed, **labels)
if hasattr(model, "encode"):
    found["encode"] = model.encode(images, seed, **labels)
    found["decode"] = model.decode(found["encode"]["latents"], **labels)
if hasattr(model, "reconstruct"):
    found["reconstruct"] = model.reconstruct(images, seed, **labels)
arrays = {name: next(iter(value.values())).numpy() for name, value in found.items()} | {"refused": refused}
np.savez(sys.argv[3], **arrays)
print(json.dumps([sorted(model.signatures), [name for name in sys.modules if name.startswith(("tfflows", "reproductions"))]]))
"""


# By default the README's example of an exported model runs alone.
@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_in_a_process_without_this_library(name, tmp_path):
    model = load(PATHS[name], data_dir=GOLDEN)
    images = np.random.default_rng(0).integers(90, 170, [3, *model.image_shape], dtype=np.uint8)
    label = {"label": np.int32(2)} if model.is_conditional else {}
    model.export(tmp_path / "saved")
    np.savez(tmp_path / "given.npz", images=images, seed=np.int64(5), **label)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", PROCESS, *(str(tmp_path / name) for name in ("saved", "given.npz", "found.npz"))]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    signatures, imported = json.loads(done.stdout)
    assert imported == []
    found = np.load(tmp_path / "found.npz")
    own = label.get("label")
    np.testing.assert_allclose(found["bits_per_dim"], model.bits_per_dim(images, own, seed=5), atol=1e-5)
    np.testing.assert_array_equal(found["bits_per_dim"], found["signature"])
    np.testing.assert_allclose(found["defaults"], model.bits_per_dim(images, own), atol=1e-5)
    assert found["refused"]
    expected = {"sample": model.sample(3, 0.7, own, seed=5), "drawn": model.sample(2)}
    if model.has_latent:
        np.testing.assert_allclose(found["encode"], model.encode(images, own, seed=5), atol=1e-3)
        expected["decode"] = model.decode(found["encode"], own)
    if model.distribution.has_encoder:
        expected["reconstruct"] = model.reconstruct(images, own, seed=5)
    for key, value in expected.items():
        assert (np.abs(found[key].astype(int) - value.numpy()) <= 1).mean() > 0.999, key
    assert set(signatures) == {"bits_per_dim", "sample"} | ({"encode"} if model.has_latent else set()) | set(
        expected
    ) - {"drawn"}


@pytest.mark.slow
def test_what_is_there_is_kept_or_replaced(tmp_path):
    model = load(PATHS["glow"], data_dir=GOLDEN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="no SavedModel"):
        model.export(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    path = model.export(tmp_path / "saved")
    (path / "assets" / "old").write_text("of the SavedModel before")
    assert not (model.export(path) / "assets" / "old").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine", "saved"]
