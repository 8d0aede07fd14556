"""How long one training step of the reference network takes with JAX on the CPU, written as Spyx trains: jit and scan.

    python jax_step.py [--steps 6] [--json]

The same network, neuron and batch as sinabs_step.py: multi-spike integrate-and-fire with reset by subtraction and the
exponential surrogate. The first steps, which compile, are not counted. Needs jax and optax and nothing else.
"""
import argparse
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

SIZES = (100, 128, 128, 128, 35)
BATCH = 128
FRAMES = 250
WARM_UP = 2


@jax.custom_jvp
def spike(v):
    return jnp.where(v > 0, jnp.trunc(v), 0.0)


@spike.defjvp
def _(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv * 2.0 * jnp.exp(-2.0 * jnp.abs(v - 1.0))


def linear(key, inputs, outputs):
    """Weight and bias with PyTorch's default initialisation."""
    bound = inputs**-0.5
    for_weight, for_bias = jax.random.split(key)
    weight = jax.random.uniform(for_weight, (inputs, outputs), minval=-bound, maxval=bound)
    return weight, jax.random.uniform(for_bias, (outputs,), minval=-bound, maxval=bound)


def neurons(currents):
    """Spikes of one layer, (T, B, N)."""
    def step(u, x):
        v = u + x
        s = spike(v)
        return v - s, s

    return jax.lax.scan(step, jnp.zeros(currents.shape[1:]), currents)[1]


def loss(params, x, y):
    for weight, bias in params[:-1]:
        x = neurons(x @ weight + bias)
    weight, bias = params[-1]
    output = (x @ weight + bias).sum(0)
    return optax.softmax_cross_entropy_with_integer_labels(output, y).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    keys = jax.random.split(jax.random.PRNGKey(0), len(SIZES) - 1)
    params = [linear(key, i, o) for key, i, o in zip(keys, SIZES, SIZES[1:])]
    adam = optax.adam(1e-3)
    state = adam.init(params)
    x = jnp.asarray(np.random.default_rng(0).poisson(0.3, (FRAMES, BATCH, SIZES[0])).astype(np.float32))
    y = jnp.asarray(np.random.default_rng(1).integers(0, SIZES[-1], BATCH))

    @jax.jit
    def train(params, state, x, y):
        value, gradients = jax.value_and_grad(loss)(params, x, y)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    seconds = []
    for _ in range(WARM_UP + args.steps):
        start = time.perf_counter()
        params, state, value = train(params, state, x, y)
        jax.block_until_ready((params, value))
        seconds.append(time.perf_counter() - start)
    report = {
        "peer": f"jax {jax.__version__}, optax {optax.__version__}", "batch": BATCH, "frames": FRAMES,
        "steps": args.steps, "step_s": statistics.median(seconds[WARM_UP:]), "compile_s": seconds[0],
    }
    print(json.dumps(report) if args.json else f"step {report['step_s']:.3f} s, compiling {report['compile_s']:.1f} s")


if __name__ == "__main__":
    main()
