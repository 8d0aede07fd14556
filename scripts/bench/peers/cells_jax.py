"""How long one training step of a network of scripts/bench/networks takes with JAX: jit, and a scan over time.

    python cells_jax.py [--cell silif|adlif|lif|c-silif] [--form layers|unrolled] [--hidden 512,512] [--device cuda]

layers     a layer's product for all steps at once, and a scan over its neurons alone
unrolled   the same, with ten steps of the scan written out

On a GPU the frames are on the device already, products are in TF32, which is JAX's default, and ten steps are timed together,
without waiting in between.
"""
import functools
import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import cells
import step


@jax.custom_jvp
def spike(x):
    return (x > 0).astype(x.dtype)


@spike.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return spike(x), dx * ((x > -0.5) & (x <= 0.5)).astype(x.dtype)


def effective(cell, raw):
    raw = [value if clamp is None else jnp.clip(value, *clamp) for value, (_, clamp) in zip(raw, cells.CELLS[cell])]
    if cell == "silif":
        p_alpha, p_beta, dt, a, b = raw
        return [jnp.exp(-jnp.exp(p_alpha + dt)), jnp.exp(-jnp.exp(p_beta + dt)), a, b]
    return raw


def scan(cell, raw, currents, key, recurrent, unroll):
    """Spikes (T, B, H) of currents (T, B, H)."""
    constants = effective(cell, raw)
    s, first, second = (jax.random.uniform(k, currents.shape[1:]) for k in jax.random.split(key, 3))
    v = None if recurrent is None else recurrent * (1 - jnp.eye(len(recurrent)))

    def tick(state, current):
        first, second, s = state
        current = current if v is None else current + s @ v
        if cell == "c-silif":
            log_log_alpha, alpha_img, log_dt, b = constants
            decay, angle = jnp.exp(-jnp.exp(log_log_alpha + log_dt)), alpha_img * jnp.exp(log_dt)
            p, q = decay * jnp.cos(angle), decay * jnp.sin(angle)
            before = first - 0.5 * s
            first, second = p * before - q * second + b * current, q * before + p * second
            s = spike(2 * first - 1.0)
        elif cell == "lif":
            (alpha,) = constants
            first = alpha * (first - s) + (1 - alpha) * current
            s = spike(first - 1.0)
        else:
            alpha, beta, a, b = constants
            second = beta * second + a * first + b * s
            first = alpha * (first - s) + (1 - alpha) * (current - second)
            s = spike(first - 1.0)
        return (first, second, s), s

    return jax.lax.scan(tick, (first, second, s), currents, unroll=unroll)[1]


def norm(y, layer):
    if "gamma" not in layer:
        return y
    mean, variance = y.mean((0, 1)), y.var((0, 1))
    return (y - mean) * jax.lax.rsqrt(variance + 1e-5) * layer["gamma"] + layer["beta"]


def loss_of(layers, x, labels, key, args, unroll):
    rates = []
    for i, layer in enumerate(layers[:-1]):
        key, for_start, for_mask = jax.random.split(key, 3)
        currents = norm(x @ layer["weight"], layer)
        s = scan(args.cell, layer["cell"], currents, for_start, layer.get("recurrent"), unroll)
        rates.append(s.mean())
        x = s * jax.random.bernoulli(for_mask, 1 - args.dropout, s.shape) / (1 - args.dropout)
    currents = norm(x @ layers[-1]["weight"], layers[-1])
    alpha = jnp.clip(layers[-1]["cell"][0], *cells.FAST)

    def tick(y, current):
        y = alpha * y + (1 - alpha) * current
        return y, jax.nn.softmax(y)

    start = jax.random.uniform(key, currents.shape[1:])
    output = jax.lax.scan(tick, start, currents, unroll=unroll)[1].sum(0)
    return optax.softmax_cross_entropy_with_integer_labels(output, labels).mean(), jnp.stack(rates)


def main():
    args = cells.options(__doc__, ["layers", "unrolled"]).parse_args()
    jax.config.update("jax_platforms", args.device)
    unroll, calls = 10 if args.form == "unrolled" else 1, 10 if args.device == "cuda" else 1
    counts, labels = cells.frames(args)
    x, labels = jnp.asarray(counts.transpose(1, 0, 2)), jnp.asarray(labels)
    layers = jax.tree.map(jnp.asarray, cells.parameters(args))
    adam = optax.adam(cells.LEARNING_RATE)
    state, key = adam.init(layers), jax.random.PRNGKey(0)
    found = {"losses": [], "rates": None}

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(layers, state, x, labels, key):
        of = functools.partial(loss_of, args=args, unroll=unroll)
        (loss, rates), gradients = jax.value_and_grad(of, has_aux=True)(layers, x, labels, key)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(layers, updates), state, loss, rates

    def some():
        nonlocal layers, state, key
        for _ in range(calls):
            key, own = jax.random.split(key)
            layers, state, loss, rates = train(layers, state, x, labels, own)
        jax.block_until_ready((layers, loss))
        found["losses"].append(float(loss))
        found["rates"] = [float(rate) for rate in rates]

    times = [seconds / calls for seconds in step.seconds(some, args, warm_up=2)]
    args.batch, args.frames = cells.BATCH, cells.FRAMES
    step.print_report(args, f"jax {jax.__version__}, optax {optax.__version__}, {args.form}", times, **found)


if __name__ == "__main__":
    main()
