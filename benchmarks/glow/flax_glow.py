"""Glow in flax, under XLA: written for this comparison. It runs in an environment of its own, `.venv-flax`."""

import functools
from typing import TYPE_CHECKING

from benchmarks.harness.tasks import LEARNING_RATE, LOG_PROB, SAMPLE, TRAINING_STEP

if TYPE_CHECKING:
    from benchmarks.glow.models import Case
    from benchmarks.harness.workers import Subject


def flax_glow(case: "Case") -> "Subject":
    """Actnorm, dense 1x1 convolution and affine coupling as in Glow; each task is one program of XLA.

    The couplings' networks are those of Glow with zero padding; parameters begin as by data-dependent init of unit images, which
    no time depends on.
    """
    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import optax

    half_log_two_pi = 0.5 * float(jnp.log(2 * jnp.pi))

    class ActNorm(nn.Module):
        @nn.compact
        def __call__(self, x, inverse=False):
            shape = [x.shape[-1]]
            bias = self.param("bias", nn.initializers.zeros, shape)
            log_scale = self.param("log_scale", nn.initializers.zeros, shape)
            log_det = x.shape[1] * x.shape[2] * jnp.sum(log_scale)
            return (x * jnp.exp(-log_scale) - bias, -log_det) if inverse else ((x + bias) * jnp.exp(log_scale), log_det)

    class ZeroConv(nn.Module):
        filters: int

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(self.filters, (3, 3), kernel_init=nn.initializers.zeros)(x)
            return x * jnp.exp(3 * self.param("log_scale", nn.initializers.zeros, [self.filters]))

    class Network(nn.Module):
        filters: int

        @nn.compact
        def __call__(self, x):
            for size in (3, 1):
                x = nn.Conv(case.width, (size, size), use_bias=False, kernel_init=nn.initializers.normal(0.05))(x)
                x = nn.relu(ActNorm()(x)[0])
            return ZeroConv(self.filters)(x)

    class FlowStep(nn.Module):
        @nn.compact
        def __call__(self, x, inverse=False):
            channels, area = x.shape[-1], x.shape[1] * x.shape[2]
            actnorm, network = ActNorm(), Network(channels)
            kernel = self.param("kernel", nn.initializers.orthogonal(), [channels, channels])
            log_det_kernel = area * jnp.linalg.slogdet(kernel)[1]

            def coupled(x):
                kept, changed = jnp.split(x, 2, axis=-1)
                shift, raw = jnp.split(network(kept), 2, axis=-1)
                log_scale = jax.nn.log_sigmoid(raw + 2.0)
                if inverse:
                    changed = changed * jnp.exp(-log_scale) - shift
                else:
                    changed = (changed + shift) * jnp.exp(log_scale)
                return jnp.concatenate([kept, changed], axis=-1), jnp.sum(log_scale, axis=(1, 2, 3))

            if inverse:
                x, log_det = coupled(x)
                x = x @ jnp.linalg.inv(kernel)
                x, _ = actnorm(x, inverse=True)
                return x, -log_det
            x, log_det = actnorm(x)
            x, log_det_coupling = coupled(x @ kernel)
            return x, log_det + log_det_kernel + log_det_coupling

    def squeezed(x):
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
        return x.reshape(batch, height // 2, width // 2, 4 * channels)

    def unsqueezed(x):
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(batch, 2 * height, 2 * width, channels // 4)

    class Glow(nn.Module):
        def setup(self):
            self.steps = [[FlowStep() for _ in range(case.depth)] for _ in range(case.levels)]
            channels = [3 * 2 ** (level + 1) for level in range(case.levels - 1)]  # of the halves that are factored out
            self.priors = [ZeroConv(2 * number) for number in channels]
            self.top = ZeroConv(2 * 3 * 2 ** (case.levels + 1))

        def log_prob(self, x):
            total = 0.0
            for level in range(case.levels):
                x = squeezed(x)
                for step in self.steps[level]:
                    x, log_det = step(x)
                    total += log_det
                if level < case.levels - 1:
                    x, latent = jnp.split(x, 2, axis=-1)
                    total += log_density(latent, self.priors[level](x))
            return total + log_density(x, self.top(jnp.zeros_like(x)))

        def sample(self, noise):
            *factored, x = noise
            x = drawn(x, self.top(jnp.zeros_like(x)))
            for level in reversed(range(case.levels)):
                if level < case.levels - 1:
                    latent = drawn(factored[level], self.priors[level](x))
                    x = jnp.concatenate([x, latent], axis=-1)
                for step in reversed(self.steps[level]):
                    x, _ = step(x, inverse=True)
                x = unsqueezed(x)
            return x

    def log_density(x, parameters):
        mean, log_scale = jnp.split(parameters, 2, axis=-1)
        terms = -half_log_two_pi - log_scale - 0.5 * ((x - mean) * jnp.exp(-log_scale)) ** 2
        return jnp.sum(terms, axis=(1, 2, 3))

    def drawn(noise, parameters):
        mean, log_scale = jnp.split(parameters, 2, axis=-1)
        return mean + jnp.exp(log_scale) * noise

    def noise_of(key, batch_size):
        side, channels, shapes = case.image_size, 3, []
        for level in range(case.levels):
            side, channels = side // 2, channels * 4
            if level < case.levels - 1:
                channels //= 2
                shapes.append((batch_size, side, side, channels))
        shapes.append((batch_size, side, side, channels))
        return [
            jax.random.normal(own, shape) for own, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
        ]

    model, optimizer = Glow(), optax.adamax(LEARNING_RATE)
    images = jnp.asarray(case.images())
    values = jax.random.uniform(jax.random.key(1), images.shape, minval=-0.5, maxval=0.5)
    state = {"parameters": model.init(jax.random.key(0), values, method=Glow.log_prob), "key": jax.random.key(2)}
    state["optimizer"] = optimizer.init(state["parameters"])

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state):
        key, own = jax.random.split(state["key"])

        def loss(parameters):
            v = (images.astype(jnp.float32) + jax.random.uniform(own, images.shape)) / 256.0 - 0.5
            return -jnp.mean(model.apply(parameters, v, method=Glow.log_prob)) / (images[0].size * jnp.log(2.0)) + 8.0

        value, gradient = jax.value_and_grad(loss)(state["parameters"])
        updates, optimizer_state = optimizer.update(gradient, state["optimizer"])
        parameters = optax.apply_updates(state["parameters"], updates)
        return {"parameters": parameters, "optimizer": optimizer_state, "key": key}, value

    def train():
        nonlocal state
        state, value = step(state)
        return float(value)

    log_prob = jax.jit(functools.partial(model.apply, method=Glow.log_prob))
    sample = jax.jit(
        lambda parameters, key: model.apply(parameters, noise_of(key, case.batch_size), method=Glow.sample)
    )
    tasks = {
        TRAINING_STEP: train,
        LOG_PROB: lambda: log_prob(state["parameters"], values).block_until_ready(),
        SAMPLE: lambda: sample(state["parameters"], jax.random.key(3)).block_until_ready(),
    }
    return tasks, {"parameters": sum(leaf.size for leaf in jax.tree.leaves(state["parameters"]))}
