"""Trains a network in JAX from a set, as Spyx does: frames are (B, T, C), a scan over time, a surrogate gradient.
Batches reach JAX by DLPack.

    tonic-prep convert ssc_train.h5 -o shards/train
    python train_jax.py shards/train [--epochs 5]
"""

import argparse

import jax
import jax.numpy as jnp
import tonic_shards as ts

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("set")
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()


@jax.custom_jvp
def spike(membrane):
    return (membrane > 0).astype(jnp.float32)


spike.defjvp(lambda value, change: (spike(*value), change[0] / (1 + 25 * jnp.abs(value[0])) ** 2))


def logits(weights, frames):
    """The readout's mean over time, (B, classes), of leaky integrate-and-fire neurons."""
    first, second = weights

    def step(membranes, frame):
        hidden, out = membranes
        spikes = spike(hidden - 1)
        hidden = 0.9 * hidden + frame @ first - spikes
        out = 0.9 * out + spikes @ second
        return (hidden, out), out

    start = [jnp.zeros((len(frames), weight.shape[1])) for weight in weights]
    return jax.lax.scan(step, tuple(start), frames.swapaxes(0, 1))[1].mean(0)


@jax.jit
def train_step(weights, frames, labels):
    def loss(weights):
        return -jax.nn.log_softmax(logits(weights, frames))[jnp.arange(len(labels)), labels].mean()

    value, gradients = jax.value_and_grad(loss)(weights)
    return value, [weight - 0.1 * gradient for weight, gradient in zip(weights, gradients)]


train = ts.ShardSet(args.set)
sizes = [train.shape[0] * train.shape[1] * train.shape[2], 128, len(train.classes)]
keys = jax.random.split(jax.random.key(0), 2)
weights = [jax.random.normal(key, ends) / ends[0] ** 0.5 for key, ends in zip(keys, zip(sizes, sizes[1:]))]
loader = ts.Loader(args.set, 128, layout="btc", seed=0)
for epoch in range(args.epochs):
    losses = []
    for frames, labels in loader:
        value, weights = train_step(weights, jax.dlpack.from_dlpack(frames), jnp.asarray(labels))
        losses.append(float(value))
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}")
