import numpy as np
import pytest
import tensorflow as tf

from tfflows import data
from tfflows.data.pipeline import without_tuner


def numbered_source(num_images, **kwargs):
    """Image n holds its number in its pixels, and label n."""
    numbers = np.arange(num_images)
    images = np.zeros([num_images, 4, 4, 3], np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256, numbers // 256
    return data.ArraySource(
        name="numbered",
        split="train",
        num_images=num_images,
        image_shape=(4, 4, 3),
        num_classes=num_images,
        images=images,
        labels=numbers,
        **kwargs,
    )


def noise_source(num_images=11):
    images = np.random.default_rng(0).integers(0, 256, [num_images, 8, 8, 3], np.uint8)
    return data.ArraySource(
        name="noise",
        split="train",
        num_images=num_images,
        image_shape=(8, 8, 3),
        images=images,
    )


def collect(dataset, num_elements=None):
    """Concatenated columns of the first elements."""
    if num_elements is not None:
        dataset = dataset.take(num_elements)
    batches = list(dataset.as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


@pytest.mark.parametrize(("num_images", "global_batch_size"), [(12, 4), (10, 4), (7, 16), (1, 3)])
def test_each_epoch_visits_every_image_once(num_images, global_batch_size):
    source = numbered_source(num_images)
    num_epochs = 6
    num_steps = -(-num_epochs * num_images // global_batch_size)
    batches = collect(data.training_batches(source, global_batch_size=global_batch_size, seed=0), num_steps)
    epochs = batches["label"][: num_epochs * num_images].reshape(num_epochs, num_images)
    for epoch in epochs:
        assert sorted(epoch) == list(range(num_images))
    if num_images > 1:
        assert len(np.unique(epochs, axis=0)) > 1
    np.testing.assert_array_equal(batches["image"][:, 0, 0, 0], batches["label"])


def test_element_structure():
    dataset = data.training_batches(numbered_source(10), global_batch_size=8, seed=0, start_step=3, batch_size=4)
    assert dataset.element_spec == {
        "image": tf.TensorSpec([4, 4, 4, 3], tf.uint8),
        "label": tf.TensorSpec([4], tf.int32),
        "index": tf.TensorSpec([4], tf.int64),
        "step": tf.TensorSpec([4], tf.int64),
    }
    batches = collect(dataset, 4)
    np.testing.assert_array_equal(batches["index"], [0, 1, 2, 3, 4, 5, 6, 7] * 2)
    np.testing.assert_array_equal(batches["step"], [3] * 8 + [4] * 8)


@pytest.mark.parametrize("augmentation", data.AUGMENTATIONS)
@pytest.mark.parametrize("start_step", [1, 5, 100])
def test_resuming_equals_skipping(start_step, augmentation):
    arguments = dict(global_batch_size=4, seed=7, augmentation=augmentation)
    whole = data.training_batches(noise_source(), **arguments).skip(start_step)
    resumed = data.training_batches(noise_source(), start_step=start_step, **arguments)
    assert_equal(collect(whole, 3), collect(resumed, 3))


@pytest.mark.parametrize("augmentation", ["none", "shift_flip_affine"])
def test_rows_of_replicas_and_workers_make_up_the_global_batch(augmentation):
    source = noise_source()
    arguments = dict(global_batch_size=8, seed=7, augmentation=augmentation)
    whole = collect(data.training_batches(source, **arguments), 5)
    replicas = collect(data.training_batches(source, batch_size=2, **arguments), 5 * 4)
    assert_equal(whole, replicas)
    workers = [
        collect(data.training_batches(source, first_row=row, num_rows=4, batch_size=2, **arguments), 10)
        for row in (0, 4)
    ]
    for key, values in whole.items():
        by_step = values.reshape(5, 2, 4, *values.shape[1:])
        for worker in range(2):
            rows = by_step[:, worker].reshape(workers[worker][key].shape)
            np.testing.assert_array_equal(rows, workers[worker][key])


def test_mirrored_replicas_get_consecutive_elements():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    source = noise_source()

    def make(context):
        del context
        return data.training_batches(source, global_batch_size=6, seed=1, batch_size=3)

    distributed = iter(strategy.distribute_datasets_from_function(make))
    whole = iter(data.training_batches(source, global_batch_size=6, seed=1))
    for _ in range(3):
        parts = strategy.experimental_local_results(next(distributed))
        expected = next(whole)
        for key in expected:
            np.testing.assert_array_equal(expected[key], np.concatenate([part[key].numpy() for part in parts]))


def test_seeds_give_other_orders_and_other_augmentation():
    source = noise_source(50)
    arguments = dict(global_batch_size=50, augmentation="shift")
    first, second = (collect(data.training_batches(source, seed=seed, **arguments), 1) for seed in (0, 1))
    assert np.any(first["image"] != second["image"])
    constant = numbered_source(1)
    constant.images[:] = np.random.default_rng(0).integers(0, 256, [1, 4, 4, 3])
    constant = data.ArraySource(name="one", split="train", num_images=1, image_shape=(4, 4, 3), images=constant.images)
    images = collect(data.training_batches(constant, global_batch_size=8, seed=0, augmentation="shift"), 2)["image"]
    assert len(np.unique(images.reshape(16, -1), axis=0)) > 8


def test_the_order_is_well_mixed():
    batches = collect(data.training_batches(numbered_source(5000), global_batch_size=5000, seed=0), 2)
    for order in batches["label"].reshape(2, 5000):
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.06  # four standard errors
        assert abs(np.corrcoef(order, np.arange(5000))[0, 1]) < 0.06


@pytest.mark.parametrize("num_images", [1, 7, 8, 9, 24])
@pytest.mark.parametrize("num_replicas", [1, 2, 4])
def test_evaluation_counts_every_image_once(num_images, num_replicas):
    source = numbered_source(num_images)
    batches = collect(data.evaluation_batches(source, global_batch_size=8, batch_size=8 // num_replicas))
    num_padded = -(-num_images // 8) * 8
    np.testing.assert_array_equal(batches["index"], np.arange(num_padded))
    np.testing.assert_array_equal(batches["mask"], np.arange(num_padded) < num_images)
    np.testing.assert_array_equal(batches["label"][:num_images], np.arange(num_images))


def test_evaluation_workers_share_the_split():
    source = numbered_source(13)
    counted = []
    for row in (0, 4):
        batches = collect(data.evaluation_batches(source, global_batch_size=8, first_row=row, num_rows=4))
        assert len(batches["index"]) == 8
        counted += list(batches["label"][batches["mask"]])
    assert sorted(counted) == list(range(13))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(global_batch_size=0), "at least 1"),
        (dict(global_batch_size=8, first_row=6, num_rows=4), "Rows 6 to 9 do not lie"),
        (dict(global_batch_size=8, first_row=8), "do not lie in a global batch of 8"),
        (dict(global_batch_size=8, batch_size=3), "3 does not divide the 8 rows"),
        (dict(global_batch_size=8, seed=-1), "seed must lie in"),
    ],
)
@pytest.mark.parametrize("make", [data.training_batches, data.evaluation_batches])
def test_bad_arguments_are_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(numbered_source(4), **{"seed": 0, **arguments})


def test_bad_training_arguments_are_refused():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        data.training_batches(numbered_source(4), global_batch_size=2, seed=0, start_step=-1)
    with pytest.raises(ValueError, match="Unknown augmentation 'crop'"):
        data.training_batches(numbered_source(4), global_batch_size=2, seed=0, augmentation="crop")


def test_sources_refuse_wrong_arrays():
    with pytest.raises(ValueError, match="expected uint8 images"):
        data.ArraySource(
            name="wrong",
            split="train",
            num_images=2,
            image_shape=(4, 4, 3),
            images=np.zeros([2, 4, 4, 3]),
        )
    with pytest.raises(ValueError, match="holds no images"):
        data.ImageSource(name="none", split="test", num_images=0, image_shape=(4, 4, 3))


def test_the_tuner_of_tf_data_alone_is_off():
    options = tf.data.Options()
    options.deterministic = True
    dataset = without_tuner(tf.data.Dataset.range(5).with_options(options))
    assert list(dataset.as_numpy_iterator()) == list(range(5))
    assert dataset.options().autotune.enabled is False and dataset.options().deterministic is True


@pytest.mark.parametrize("batches", [data.training_batches, data.evaluation_batches])
def test_batches_have_no_tuner(batches):
    options = batches(noise_source(), global_batch_size=2, seed=0).options()
    assert options.autotune.enabled is False and options.deterministic is True


class UniformsForImages(data.ArraySource):
    """Gives, in the place of an image, the two numbers that say where it is cut."""

    def read(self, positions, crop_uniforms):
        return crop_uniforms, tf.zeros_like(positions, tf.int32)


def test_no_number_of_a_crop_is_one_of_the_augmentation(monkeypatch):
    monkeypatch.setattr(
        "tfflows.data.augmentation.augment", lambda crops, uniforms, name: tf.concat([crops, uniforms], axis=1)
    )
    images = np.zeros([5, 8, 8, 3], np.uint8)
    source = UniformsForImages(
        name="cut", split="train", num_images=5, image_shape=(8, 8, 3), random_crop=True, images=images
    )
    arguments = dict(global_batch_size=16, seed=3, augmentation="shift")
    numbers = collect(data.training_batches(source, **arguments), 4)["image"]
    assert numbers.shape == (64, 2 + 7)
    assert len(np.unique(numbers)) > numbers.size - 2  # of so many float32, no pair is expected
    others = collect(data.training_batches(source, start_step=4, **arguments), 4)["image"]
    assert len(np.intersect1d(numbers, others)) < 2
