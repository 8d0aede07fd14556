"""Loss and gradients of the reference network in NumPy's float64, written out: every peer's `--check` is compared with it.

Weights are multiples of 1/64, so that all sums before a neuron are exact in float32 and no spike depends on their order.
"""
import sys

import numpy as np

import step


def small(args):
    """The sizes that are checked."""
    args.batch, args.frames, args.hidden = 4, 50, 32
    return args


def weights(args):
    """[(weight (out, in), bias), ...], float32, that make spikes of more than one."""
    rng = np.random.default_rng(1)
    sizes = (step.CHANNELS, *3 * (args.hidden,), step.CLASSES)
    draw = lambda *shape: np.float32(rng.integers(-16, 22, shape) / 64)
    return [(draw(o, i), draw(o)) for i, o in zip(sizes, sizes[1:])]


def loss_and_gradients(layers, x, y):
    """Returns the loss for frames (B, T, C) and labels, and its gradients in the order of `layers`."""
    layers = [(w.astype(np.float64), b.astype(np.float64)) for w, b in layers]
    x = x.astype(np.float64)
    inputs, potentials = [x], []
    for weight, bias in layers[:-1]:
        currents, u = inputs[-1] @ weight.T + bias, 0.0
        v, s = np.empty_like(currents), np.empty_like(currents)
        for t in range(x.shape[1]):
            v[:, t] = u + currents[:, t]
            s[:, t] = np.trunc(np.maximum(v[:, t], 0))
            u = v[:, t] - s[:, t]
        potentials.append(v)
        inputs.append(s)
    weight, bias = layers[-1]
    logits = (inputs[-1] @ weight.T + bias).sum(1)
    logits -= logits.max(1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    samples = np.arange(len(y))
    loss = -np.log(shares[samples, y]).mean()

    shares[samples, y] -= 1
    above = np.repeat(shares[:, None] / len(y), x.shape[1], 1)  # dL/d(currents), here of the readout
    gradients = []
    for (weight, _), below, v in zip(layers[::-1], inputs[::-1], [*potentials[::-1], None]):
        gradients[:0] = [np.einsum("bto,bti->oi", above, below), above.sum((0, 1))]
        if v is None:
            break
        g, sigma, following = above @ weight, 2 * np.exp(-2 * np.abs(v - 1)), 0.0
        above = np.empty_like(g)
        for t in reversed(range(x.shape[1])):
            following = above[:, t] = sigma[:, t] * g[:, t] + (1 - sigma[:, t]) * following
    return loss, gradients


def compare(name, loss, gradients, layers, x, y, tolerance=1e-4):
    """Prints the error of a peer's loss and gradients. Ends the program if it is too large. `gradients` are arrays as above."""
    right_loss, right = loss_and_gradients(layers, x, y)
    off = [abs(loss - right_loss) / abs(right_loss)]
    off += [np.abs(g - r).max() / np.abs(r).max() for g, r in zip(gradients, right)]
    good = len(gradients) == len(right) and max(off) < tolerance
    verdict = "same" if good else "WRONG"
    print(f"{name}: loss {loss:.6f}, loss and gradients off by at most {max(off):.1e}: {verdict}", flush=True)
    if not good:
        sys.exit(f"{name} computes something else: {['%.1e' % o for o in off]}")
