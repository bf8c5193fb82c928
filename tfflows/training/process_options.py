"""Options of TensorFlow that hold for the whole process, whatever it trains."""

import tensorflow as tf

from tfflows.devices.strategies import use_cores


def process_options(*, tf32: bool = False, side_by_side: int = 1) -> None:
    """Sets options that hold for the whole process, as the commands of the reproductions do; importing never sets them.

    - TF32 is off unless asked for: by default, TensorFlow lets GPUs round the factors of float32 products to ten bits.
    - TensorFlow's graph optimizer is off if there is no GPU. It takes half of the time between tracing and the first step, and on
      CPU no step is faster for it. On GPU it chooses the layout of the convolutions, so there it stays on.
    - With `side_by_side`, that many operations run at once, each on one thread.

    On CPU, results without this call differ only by rounding.

    Args:
      tf32: Whether GPUs may compute float32 products in TF32.
      side_by_side: Number of parts of a batch that are computed side by side, see `tfflows.devices.strategies`. Above 1 the
        call has to come before TensorFlow first uses its devices.

    Raises:
      ValueError: If `side_by_side` is below 1, or above 1 on a machine with a GPU.
    """
    if side_by_side < 1:
        raise ValueError(f"side_by_side must be at least 1, got {side_by_side}.")
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if side_by_side > 1:
        use_cores(side_by_side)
    trim_graph_optimizer()


def trim_graph_optimizer() -> None:
    """Turns off TensorFlow's graph optimizer where there is no GPU."""
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
