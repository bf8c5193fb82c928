"""Batches for training and evaluation, as a pure function of (source, seed, step).

The rows of global batch `s` are the images number `s * G, ..., s * G + G - 1` (G the global batch size) of an endless sequence of
epochs, each epoch another permutation of the split. Nothing depends on what was read before, so a run resumed at step `s` sees
what it would have seen. And nothing depends on how many replicas share a global batch: each takes its rows.
"""

import tensorflow as tf

from tfflows.data import augmentation as augmentation_lib
from tfflows.data.sources import (
    ImageSource,
    RecordSource,
    file_table,
    read_file,
    read_in_order,
)

# What a random number is for, so that no two uses share one.
_ORDER, _CROP, _AUGMENT, _FILES = range(4)

_SHUFFLE_ROUNDS = 16  # the op's default of 4 leaves neighbours correlated
_SHUFFLE_WINDOW_BYTES = 256 * 2**20
_SHUFFLE_WINDOW_RECORDS = 16_384
_FILES_READ_AT_ONCE = 16
_INFINITE = 2**62

# AutoGraph has nothing to do here, and takes half a second to find that out. Recipes of `RecordSource` may need it.
_plain = tf.autograph.experimental.do_not_convert


def training_batches(
    source: ImageSource,
    *,
    global_batch_size: int,
    seed: int,
    start_step: int = 0,
    first_row: int = 0,
    num_rows: int | None = None,
    batch_size: int | None = None,
    augmentation: str = "none",
) -> tf.data.Dataset:
    """Endless shuffled batches of a split; each epoch visits every image exactly once.

    The data set yields, for step = start_step, start_step + 1, ..., the rows `first_row` to `first_row + num_rows - 1` of the
    global batch, cut into `num_rows / batch_size` consecutive elements: with R replicas and `batch_size = num_rows / R`, R
    elements make a step. Epochs need not end with a batch.

    Args:
      source: The split.
      global_batch_size: Images per step over all replicas and workers.
      seed: Integer in [0, 2**31) that fixes orders, crops and augmentation.
      start_step: Step of the first batch.
      first_row: First row of the global batch to yield (a worker's share).
      num_rows: Number of rows of each global batch to yield; default: all from `first_row` on.
      batch_size: Images per element; divides `num_rows`; default: `num_rows`.
      augmentation: One of `tfflows.data.augmentation.AUGMENTATIONS`.

    Returns:
      A data set of dictionaries: `image` uint8 `[batch_size, H, W, C]`, `label` int32 `[batch_size]` (zeros if the split has
        none), `index` int64 `[batch_size]` (row in the global batch), `step` int64 `[batch_size]`.

    Raises:
      ValueError: If the rows do not fit the global batch, the seed or the step is out of range, or the augmentation is unknown.

    Example:
      >>> import numpy as np
      >>> from tfflows.data import array_source, training_batches
      >>> source = array_source(np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1))
      >>> steps = iter(training_batches(source, global_batch_size=2, seed=0))
      >>> first, second = next(steps), next(steps)
      >>> sorted(np.concatenate([first["image"], second["image"]]).ravel().tolist())  # one epoch
      [0, 1, 2, 3]
      >>> resumed = next(iter(training_batches(source, global_batch_size=2, seed=0, start_step=1)))
      >>> np.array_equal(resumed["image"], second["image"])
      True
    """
    first_row, num_rows, batch_size = _check_rows(global_batch_size, first_row, num_rows, batch_size)
    augmentation_lib.check_augmentation(augmentation)
    _check_seed(seed)
    if start_step < 0:
        raise ValueError(f"start_step must not be negative, got {start_step}.")
    elements_per_step = num_rows // batch_size
    plan = tf.data.Dataset.range(start_step * elements_per_step, _INFINITE)

    def rows_of(element):
        step = element // elements_per_step
        start = first_row + (element % elements_per_step) * batch_size
        return step, start + tf.range(batch_size, dtype=tf.int64)

    def uniforms(step, rows, purpose, num_columns):
        # Drawn for the whole global batch, so that a row's numbers do not depend on who takes it.
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, purpose], tf.int64), step)
        return tf.gather(tf.random.stateless_uniform([global_batch_size, num_columns], key), rows)

    def finish(step, rows, images, labels):
        if augmentation != "none":
            numbers = uniforms(step, rows, _AUGMENT, augmentation_lib.NUM_UNIFORMS)
            images = augmentation_lib.augment(images, numbers, augmentation)
        return {
            "image": images,
            "label": labels,
            "index": rows,
            "step": tf.fill([batch_size], step),
        }

    if isinstance(source, RecordSource):
        records = _shuffled_records(source, seed, start_step * global_batch_size)
        if num_rows < global_batch_size:
            records = records.batch(global_batch_size, drop_remainder=True)
            records = records.map(lambda batch: batch[first_row : first_row + num_rows]).unbatch()
        decoded = _decoded_batches(source, records, batch_size)

        @_plain
        def assemble(element, batch):
            return finish(*rows_of(element), *batch)

        dataset = tf.data.Dataset.zip((plan, decoded)).map(
            assemble, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
    else:

        @_plain
        def load(element):
            step, rows = rows_of(element)
            positions = _shuffled_positions(step * global_batch_size + rows, source.num_images, seed)
            crops = uniforms(step, rows, _CROP, 2) if source.random_crop else None
            return finish(step, rows, *source.read(positions, crops))

        dataset = plan.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _with_options(dataset)


def evaluation_batches(
    source: ImageSource,
    *,
    global_batch_size: int,
    seed: int = 0,
    first_row: int = 0,
    num_rows: int | None = None,
    batch_size: int | None = None,
) -> tf.data.Dataset:
    """One pass over a split in order; each image counts exactly once under any number of replicas.

    The last global batch is padded to full size with repetitions of an image whose `mask` is False. Rows are cut as in
    `training_batches`. Where a split is read through random crops, an image's crop depends only on the seed and on its position.

    Args:
      source: The split.
      global_batch_size: Images per batch over all replicas and workers.
      seed: Integer in [0, 2**31), for splits that are read through random crops.
      first_row: First row of each global batch to yield.
      num_rows: Number of rows of each global batch to yield; default: all from `first_row` on.
      batch_size: Images per element; divides `num_rows`; default: `num_rows`.

    Returns:
      A data set of dictionaries: `image` uint8 `[batch_size, H, W, C]`, `label` int32 `[batch_size]`, `index` int64
        `[batch_size]` (position in the split; counts on over padding), `mask` bool `[batch_size]`.

    Raises:
      ValueError: If the rows do not fit the global batch, or the seed is out of range.

    Example:
      >>> import numpy as np
      >>> from tfflows.data import array_source, evaluation_batches
      >>> source = array_source(np.zeros([3, 1, 1, 1], np.uint8), labels=[7, 8, 9])
      >>> for batch in evaluation_batches(source, global_batch_size=2):
      ...     print(batch["label"].numpy()[batch["mask"]].tolist())
      [7, 8]
      [9]
    """
    first_row, num_rows, batch_size = _check_rows(global_batch_size, first_row, num_rows, batch_size)
    _check_seed(seed)
    elements_per_batch = num_rows // batch_size
    num_batches = -(-source.num_images // global_batch_size)
    plan = tf.data.Dataset.range(num_batches * elements_per_batch)

    def positions_of(element):
        start = (element // elements_per_batch) * global_batch_size + first_row
        start += (element % elements_per_batch) * batch_size
        return start + tf.range(batch_size, dtype=tf.int64)

    def finish(positions, images, labels):
        return {
            "image": images,
            "label": labels,
            "index": positions,
            "mask": positions < source.num_images,
        }

    if isinstance(source, RecordSource):
        records = read_in_order(source.files)
        records = records.concatenate(records.take(1).repeat())
        records = records.take(num_batches * global_batch_size)
        if num_rows < global_batch_size:
            records = records.batch(global_batch_size)
            records = records.map(lambda batch: batch[first_row : first_row + num_rows]).unbatch()
        dataset = tf.data.Dataset.zip((plan, _decoded_batches(source, records, batch_size))).map(
            _plain(lambda element, batch: finish(positions_of(element), *batch))
        )
    else:
        crops = None
        if source.random_crop:
            with tf.init_scope(), tf.device("CPU:0"):
                crops = tf.random.stateless_uniform([source.num_images, 2], [seed, _CROP])

        @_plain
        def load(element):
            positions = positions_of(element)
            existing = tf.where(positions < source.num_images, positions, 0)
            crop = None if crops is None else tf.gather(crops, existing)
            return finish(positions, *source.read(existing, crop))

        dataset = plan.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return _with_options(dataset)


def _shuffled_positions(counters: tf.Tensor, num_images: int, seed: int) -> tf.Tensor:
    """Position in the split of image number `counters` (int64 `[B]`) of the endless sequence of epochs."""
    epochs = counters // num_images
    return _permute(counters % num_images, num_images, seed, epochs, _ORDER)


def _permute(indices, size: int, seed: int, epochs, purpose: int) -> tf.Tensor:
    """A permutation of `range(size)`, fixed by (seed, epoch, purpose), at `indices` (int64 `[B]`)."""
    epochs = tf.broadcast_to(epochs, tf.shape(indices))
    seeds = tf.stack([tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)), epochs], axis=-1)
    seeds = tf.concat([seeds, tf.fill([tf.shape(seeds)[0], 1], tf.constant(purpose, tf.int64))], -1)
    return tf.raw_ops.RandomIndexShuffle(
        index=indices,
        seed=seeds,
        max_index=tf.constant(size - 1, tf.int64),
        rounds=_SHUFFLE_ROUNDS,
    )


def _shuffled_records(source: RecordSource, seed: int, first: int) -> tf.data.Dataset:
    """The endless sequence of epochs from record number `first` on, as serialized records.

    An epoch reads its files in a random order, several at once, and permutes the stream in windows; files, windows and
    permutations are a function of (seed, epoch). The epochs before `first` cost nothing; the records before it within its epoch
    are read but not decoded.
    """
    table = file_table(source.files)
    num_files = len(source.files)
    window = _window_size(source)

    def epoch_records(epoch):
        order = _permute(tf.range(num_files, dtype=tf.int64), num_files, seed, epoch, _FILES)
        files = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(column, order) for column in table))
        records = files.interleave(
            read_file,
            cycle_length=min(_FILES_READ_AT_ONCE, num_files),
            block_length=16,
        )

        @_plain
        def permute_window(number, batch):
            size = tf.size(batch, out_type=tf.int64)
            key = tf.random.experimental.stateless_fold_in(
                tf.random.experimental.stateless_fold_in(tf.constant([seed, _ORDER], tf.int64), epoch),
                number,
            )
            return tf.gather(batch, tf.argsort(tf.random.stateless_uniform([size], key)))

        windows = records.batch(window).enumerate().map(permute_window)
        return windows.unbatch()

    first_epoch, skipped = divmod(first, source.num_images)
    epochs = tf.data.Dataset.range(first_epoch, _INFINITE)
    if skipped == 0:
        return epochs.flat_map(epoch_records)
    head = epochs.take(1).flat_map(epoch_records).skip(skipped)
    return head.concatenate(epochs.skip(1).flat_map(epoch_records))


def _window_size(source: RecordSource) -> int:
    height, width, channels = source.image_shape
    by_bytes = _SHUFFLE_WINDOW_BYTES // (height * width * channels)
    return max(1, min(_SHUFFLE_WINDOW_RECORDS, by_bytes, source.num_images))


def _decoded_batches(source: RecordSource, records, batch_size: int) -> tf.data.Dataset:
    """Batches of (images, labels) with static shapes."""

    def decode(record):
        image, label = source.decode(record)
        return tf.ensure_shape(image, source.image_shape), tf.cast(label, tf.int32)

    decoded = records.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.batch(batch_size, drop_remainder=True)


def _check_rows(global_batch_size, first_row, num_rows, batch_size) -> tuple[int, int, int]:
    if global_batch_size < 1:
        raise ValueError(f"global_batch_size must be at least 1, got {global_batch_size}.")
    if num_rows is None:
        num_rows = global_batch_size - first_row
    if first_row < 0 or num_rows < 1 or first_row + num_rows > global_batch_size:
        raise ValueError(
            f"Rows {first_row} to {first_row + num_rows - 1} do not lie in a global batch of {global_batch_size}."
        )
    if batch_size is None:
        batch_size = num_rows
    if batch_size < 1 or num_rows % batch_size:
        raise ValueError(f"A batch_size of {batch_size} does not divide the {num_rows} rows of a step.")
    return first_row, num_rows, batch_size


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**31:
        raise ValueError(f"The seed must lie in [0, 2**31), got {seed}.")


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Rows are cut by first_row and num_rows; a second cut by tf.distribute would lose images.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return without_tuner(dataset.prefetch(tf.data.AUTOTUNE).with_options(options))


def without_tuner(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same data set, with iterators that end at once.

    tf.data's tuner, on by default, sleeps for 10 ms, 20 ms, 40 ms and so on up to a minute. If it misses that its iterator
    ends, the
    iterator waits for it: up to as long again as it was used (seen in 8 of 40 passes, TensorFlow 2.21). Without the tuner,
    `AUTOTUNE` means one call per thread (at most 16), and a buffer that grows whenever it is found empty.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
