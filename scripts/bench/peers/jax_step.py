"""How long one training step of the reference network takes with JAX, written as Spyx trains: jit and scan.

    python jax_step.py [--device cuda] [--steps 6] [--way layers|steps --unroll N] [--batch N] [--frames T] [--json]

The same network, neuron and batch as sinabs_step.py: multi-spike integrate-and-fire with reset by subtraction and the
exponential surrogate. It can be written in two ways: a layer's product for all steps at once and a scan over its
neurons alone (layers), or one scan over time with all layers in it, as Spyx has it (steps). Which is faster, and
whether unrolling the scan helps, depends on sizes and machine: all of WAYS are timed, and the fastest counts. The first
steps, which compile, are not counted. Needs jax and optax and nothing else.

On a GPU the frames are on the device already, products are in TF32, which is JAX's default, the variants of ON_GPU are timed
too, and ten steps are timed together, without waiting in between.
"""
import functools
import os
import statistics

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import oracle
import step

# Also tried, on a busy machine: layers by 4, 1.8 times as long as by 1; steps by 25 and 50, nothing beyond the noise.
WAYS = (("layers", 1), ("steps", 1), ("steps", 10))
ON_GPU = (("layers", 10), ("layers", 50))
CALLS = {"cpu": 1, "cuda": 10}


@jax.custom_jvp
def spike(v):
    return jnp.where(v > 0, jnp.trunc(v), 0.0)


@spike.defjvp
def _(primals, tangents):
    (v,), (dv,) = primals, tangents
    return spike(v), dv * 2.0 * jnp.exp(-2.0 * jnp.abs(v - 1.0))


def linear(key, inputs, outputs, gain):
    """Weight and bias with PyTorch's default initialisation, the weight times `gain`."""
    bound = inputs**-0.5
    for_weight, for_bias = jax.random.split(key)
    weight = jax.random.uniform(for_weight, (inputs, outputs), minval=-bound, maxval=bound)
    return weight * gain, jax.random.uniform(for_bias, (outputs,), minval=-bound, maxval=bound)


def network(args):
    sizes = (step.CHANNELS, *3 * (args.hidden,), step.CLASSES)
    keys = jax.random.split(jax.random.PRNGKey(0), len(sizes) - 1)
    gains = 3 * (args.gain,) + (1.0,)
    return [linear(key, i, o, gain) for key, i, o, gain in zip(keys, sizes, sizes[1:], gains)]


def neuron(u, x):
    """A time step of a layer's neurons: membrane potential and current in, potential and spikes out."""
    v = u + x
    s = spike(v)
    return v - s, s


def spikes_by_layers(params, x, unroll):
    """Spikes of each hidden layer, (T, B, N): a whole layer after the other."""
    for weight, bias in params[:-1]:
        currents = x @ weight + bias
        x = jax.lax.scan(neuron, jnp.zeros(currents.shape[1:]), currents, unroll=unroll)[1]
        yield x


def output_by_layers(params, x, unroll):
    *_, spikes = spikes_by_layers(params, x, unroll)
    weight, bias = params[-1]
    return (spikes @ weight + bias).sum(0)


def output_by_steps(params, x, unroll):
    def tick(potentials, x):
        after = []
        for (weight, bias), u in zip(params[:-1], potentials):
            u, x = neuron(u, x @ weight + bias)
            after.append(u)
        weight, bias = params[-1]
        return after, x @ weight + bias

    rest = [jnp.zeros((x.shape[1], len(bias))) for _, bias in params[:-1]]
    return jax.lax.scan(tick, rest, x, unroll=unroll)[1].sum(0)


def loss_of(params, x, y, way, unroll):
    output = output_by_layers if way == "layers" else output_by_steps
    return optax.softmax_cross_entropy_with_integer_labels(output(params, x, unroll), y).mean()


def step_seconds(args, x, y, way, unroll):
    adam = optax.adam(step.LEARNING_RATE)

    # Frames are an argument: closed over, they would be a constant, which the compiler might work on.
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(params, state, x, y):
        value, gradients = jax.value_and_grad(loss_of)(params, x, y, way, unroll)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    params = network(args)
    state = adam.init(params)
    calls = CALLS[args.device]

    def some():
        nonlocal params, state
        for _ in range(calls):
            params, state, value = train(params, state, x, y)
        jax.block_until_ready((params, value))

    return [seconds / calls for seconds in step.seconds(some, args, warm_up=2)]


def check(args, ways):
    oracle.small(args)
    jax.config.update("jax_default_matmul_precision", "highest")
    values = oracle.weights(args)
    counts, labels = step.random_frames(args)
    params = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in values]
    for way, unroll in ways:
        gradient = jax.jit(jax.value_and_grad(loss_of), static_argnums=(3, 4))
        loss, found = gradient(params, jnp.asarray(counts.transpose(1, 0, 2)), jnp.asarray(labels), way, unroll)
        found = [np.asarray(a) for weight, bias in found for a in (weight.T, bias)]
        oracle.compare(f"jax, {way} {unroll}", float(loss), found, values, counts, labels)


def main():
    parser = step.options(__doc__, steps=6)
    parser.add_argument("--way", choices=["layers", "steps"], help="only this way, not the fastest of all")
    parser.add_argument("--unroll", type=int, default=1, help="with --way: steps of the scan that are written out (1)")
    args = parser.parse_args()
    jax.config.update("jax_platforms", args.device)
    ways = WAYS + ON_GPU * (args.device == "cuda")
    ways = [(args.way, args.unroll)] if args.way else ways
    if args.check:
        check(args, ways)
        return
    counts, labels = step.random_frames(args)
    x, y = jnp.asarray(counts.transpose(1, 0, 2)), jnp.asarray(labels)
    forms = {f"{way} {unroll}": functools.partial(step_seconds, args, x, y, way, unroll) for way, unroll in ways}
    layers = spikes_by_layers(network(args), x[:, : step.SPIKE_SAMPLES], 1)
    density = statistics.mean(float((spikes > 0).mean()) for spikes in layers)
    step.report_fastest(args, f"jax {jax.__version__}, optax {optax.__version__}", forms, spike_density=density)


if __name__ == "__main__":
    main()
