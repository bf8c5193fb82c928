"""What a model in hand and an exported one compute, as functions of tensors.

The streams of noise are those of the evaluation of runs and of their pictures: the same seeds give the same numbers there.
"""

import tensorflow as tf

from tfflows.math.random import fold_in, row_keys


def _log_prob(model, images, labels, seed, start):
    return model.elbo(images, fold_in(row_keys(seed, 0, start), "evaluation"), model.condition_of(labels))


def _importance_log_prob(model, images, labels, seed, start, num_samples):
    keys = fold_in(row_keys(seed, 0, start), "importance")
    return model.importance_weighted_log_prob(images, keys, num_samples, model.condition_of(labels))


def _sample(model, labels, seed, start, temperature):
    return model.sample_and_check(
        tf.shape(labels)[0], row_keys(seed, 0, start), temperature, model.condition_of(labels)
    )


def _encode(model, images, labels, seed, start):
    return model.encode(images, fold_in(row_keys(seed, 0, start), "encode"), model.condition_of(labels))


def _decode(model, latents, labels, seed, start):
    del seed, start
    return model.decode_and_check(latents, model.condition_of(labels))


def _decode_drawn(model, latents, labels, seed, start):
    return model.decode_and_check(latents, model.condition_of(labels), row_keys(seed, 0, start))


FUNCTIONS = {
    "log_prob": _log_prob,
    "importance_log_prob": _importance_log_prob,
    "sample": _sample,
    "encode": _encode,
    "decode": _decode,
    "decode_drawn": _decode_drawn,
}
