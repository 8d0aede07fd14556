"""Records training steps of networks of many layers in plain PyTorch, written from the formulas of sparch, SSM-inspired
LIF, snnTorch and Cramer et al.

    python torch_layers.py ../../tests/data/goldens

torch_layers.safetensors: the metadata has the network files, `networks`: {name: text}. All networks share x (U8, (B, T,
inputs)) and targets (U8, (B,)). float64 computes, from float32 parameters:
    <n>/<parameter>             F32   initial values, under the names of the model file; norms have running statistics
    <n>/logits, <n>/eval        F32 (B, classes)   of the first training step, and of an evaluation before it
    <n>/losses                  F32 (STEPS,)   losses of Adam's steps with a learning rate of 0.01; the sample i of step k
                                has the key of (seed 7, epoch k, sample i)
    <n>/grad.<parameter>        F32   gradients of the first step
    <n>/stat.<statistic>        F32   running statistics after the first step
A seed is drawn again until no potential is within 2e-5 of a place where spikes or gradients jump, because float32 must
not decide, and until the terms of a weight's gradient don't nearly cancel: with few spikes, a norm leaves almost none.
"""
import json
import math
import os
import sys
import tomllib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

BATCH, T, INPUTS, CLASSES, STEPS, SEED = 5, 23, 9, 4, 4, 7
MARGIN = 2e-5
CANCELLED = 30  # largest sum of the absolute terms of a weight's gradient, relative to the layer's largest gradient
M64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


# --- random numbers of tonic-train, from counters
def mix(z):
    z = (z + GOLDEN) & M64
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M64
    return z ^ z >> 31


def key(seed, epoch, sample):
    k = mix(seed)
    for part in (epoch, sample):
        k = mix(k ^ mix(part))
    return k


def masks(keys, layer, p, per_sample, steps, neurons):
    """(B, steps, H): 1 where a spike is kept, and the factor of what is kept."""
    kept = round((1 - float(np.float32(p))) * 65536)
    out = np.zeros((len(keys), steps, neurons))
    low = (kept & -kept).bit_length() - 1
    for b, sample in enumerate(keys):
        stream = mix(sample ^ mix(layer))
        for t in range(steps):
            for tile in range(-(-neurons // 32)):
                counter, mask = ((0 if per_sample else t) << 27) + (tile << 3), 0
                for i, digit in enumerate(range(low, 16)):
                    pair = mix((stream + (counter + i // 2) * GOLDEN) & M64)
                    word = pair >> 32 * (i % 2) & 0xFFFFFFFF
                    mask = mask | word if kept >> digit & 1 else mask & word
                for j in range(min(32, neurons - 32 * tile)):
                    out[b, t, 32 * tile + j] = mask >> j & 1
    return torch.from_numpy(out), 65536 / kept


def starts(keys, layer, neurons, row):
    draw = [[mix((mix(k ^ mix((1 << 32) + layer)) + mix(n * 3 + row)) & M64) >> 40 for n in range(neurons)] for k in keys]
    return torch.tensor(draw, dtype=torch.float64) / (1 << 24)


# --- spikes with a surrogate gradient
class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, sigma):
        ctx.save_for_backward(sigma)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


class Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, theta, sigma):
        ctx.save_for_backward(sigma)
        return torch.where(v > 0, torch.trunc(v / theta), torch.zeros_like(v))

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None, None


class Near(Exception):
    """A potential is too close to a jump, a layer is silent, or terms nearly cancel."""


def apart(x, *places):
    if any((x - place).abs().min().item() < MARGIN for place in places):
        raise Near


def spike(u, layer):
    x = u.detach() - 1
    kind = layer.get("surrogate", "boxcar")
    if kind == "boxcar":
        width, height = layer.get("width", 0.5), layer.get("height", 1.0)
        apart(x, 0, -width, width)
        sigma = height * ((x > -width) & (x <= width))
    else:
        apart(x, 0)
        if kind == "single-exponential":
            width, scale = layer.get("width", 0.5), layer.get("scale", 1.0)
            sigma = scale / width * torch.exp(-x.abs() / width)
        elif kind == "arctan":
            a = layer.get("steepness", 2.0)
            sigma = a / 2 / (1 + (math.pi / 2 * a * x) ** 2)
        else:
            sigma = 1 / (1 + layer.get("steepness", 25.0) * x.abs()) ** 2
    return Spike.apply(u - 1, sigma.to(u.dtype))


# The nearest float32, which tonic-train clamps to.
FAST = tuple(float(np.float32(x)) for x in (0.81873075, 0.96078944))
SLOW = tuple(float(np.float32(x)) for x in (0.9672161, 0.9917013))
RANGES = {
    "lif": {"alpha": FAST},
    "cuba-lif": {"alpha": FAST, "beta": FAST},
    "adlif": {"alpha": FAST, "beta": SLOW, "a": (-1.0, 1.0), "b": (0.0, 2.0)},
    "silif": {"p_alpha": None, "p_beta": None, "dt": None, "a": (0.0, 1.0), "b": (0.0, 2.0)},
    "c-silif": {"log_log_alpha": None, "alpha_img": None, "log_dt": None, "b": None},
    "iaf": {},
}


def clamped(values, ranges):
    return {n: v if ranges[n] is None else v.clamp(*ranges[n]) for n, v in values.items()}


def ranges_of(layer):
    named = dict(RANGES[layer["neuron"]])
    for name, value in named.items():
        if name in layer and value is not None:
            given = layer[name]
            named[name] = tuple(float(np.float32(x)) for x in (given if isinstance(given, list) else (given, given)))
    return named


class Net:
    def __init__(self, text, inputs, classes, draw):
        """`draw(name, shape, low, high)` gives the float32 values of a parameter."""
        file = tomllib.loads(text)
        self.uniform = file.get("init_state", "zero") == "uniform"
        self.layers, self.p, self.stats = file["layers"], {}, {}
        self.classes, size = classes, inputs

        def put(name, *shape, low=-1.0, high=1.0):
            self.p[name] = torch.tensor(draw(name, shape, low, high), dtype=torch.float64, requires_grad=True)

        for i, layer in enumerate(self.layers):
            if "linear" in layer:
                inputs, size = size, classes if layer["linear"] == "classes" else layer["linear"]
                put(f"{i}.weight", size, inputs, low=-0.6, high=0.9)
                if layer.get("bias", True):
                    put(f"{i}.bias", size, low=-0.2, high=0.4)
            elif "norm" in layer:
                put(f"{i}.weight", size, low=0.6, high=1.8)
                put(f"{i}.bias", size, low=-0.3, high=0.7)
                for name, low, high in (("running_mean", -0.5, 0.5), ("running_var", 0.5, 2.0)):
                    values = draw(f"{i}.{name}", (size,), low, high)
                    self.stats[f"{i}.{name}"] = torch.tensor(values, dtype=torch.float64)
            elif "recurrent" in layer:
                put(f"{i}.weight", size, size, low=-0.3, high=0.3)
            elif "neuron" in layer and layer.get("learn", True):
                for name, wide in ranges_of(layer).items():
                    low, high = wide or {
                        "p_alpha": (2.3, 5.5), "p_beta": (0.9, 2.3), "dt": (-5.6, -4.5), "log_log_alpha": (-1.0, 0.0),
                        "alpha_img": (2.5, 3.5), "log_dt": (-3.0, -0.7), "b": (0.3, 1.0),
                    }[name]
                    around = 0.2 * (high - low) if wide else 0.0  # some are outside: their gradient is 0
                    put(f"{i}.{name}", size, low=low - around, high=high + around)
            elif layer.get("readout", "sum") != "sum":
                put(f"{i}.alpha", classes, low=FAST[0] - 0.02, high=FAST[1] + 0.02)

    def forward(self, x, keys, training):
        """Logits. Updates no statistics, but keeps those of the batch in `batch`."""
        self.batch, self.products = {}, []
        h, block = x, 0
        for i, layer in enumerate(self.layers):
            p = {name.split(".", 1)[1]: v for name, v in self.p.items() if name.split(".", 1)[0] == str(i)}
            if "linear" in layer:
                current = F.linear(h, p["weight"], p.get("bias"))
                if training:
                    current.retain_grad()
                    self.products.append((h, current, p["weight"]))
                recurrent = None
            elif "norm" in layer:
                rows = current.flatten(0, 1)
                if training:
                    mean, var = rows.mean(0), rows.var(0, unbiased=False)
                    self.batch[f"{i}.running_mean"] = mean.detach()
                    self.batch[f"{i}.running_var"] = rows.var(0, unbiased=True).detach()
                else:
                    mean, var = self.stats[f"{i}.running_mean"], self.stats[f"{i}.running_var"]
                current = (current - mean) / torch.sqrt(var + 1e-5) * p["weight"] + p["bias"]
            elif "recurrent" in layer:
                recurrent = p["weight"] * (1 - torch.eye(len(p["weight"]), dtype=torch.float64))
            elif "neuron" in layer:
                h = self.neurons(layer, p, current, recurrent, keys, block)
            elif "dropout" in layer:
                if training:
                    mask, scale = masks(keys, block, layer["dropout"], layer.get("mask") == "sample", *h.shape[1:])
                    h = h * mask * scale
            else:
                return self.readout(layer["readout"], p, current, keys, block)
            if "neuron" in layer and "dropout" not in self.layers[i + 1] or "dropout" in layer:
                block += 1

    def neurons(self, layer, p, current, recurrent, keys, block):
        kind, neurons = layer["neuron"], current.shape[2]
        p = clamped(p, ranges_of(layer)) if layer.get("learn", True) else {
            n: torch.full((neurons,), float(np.float32(layer[n])), dtype=torch.float64) for n in RANGES[kind]}
        zero = torch.zeros(len(keys), neurons, dtype=torch.float64)
        start = lambda row: starts(keys, block, neurons, row) if self.uniform else zero
        u, w, s, out = start(0), start(1), start(2), []
        for t in range(current.shape[1]):
            x = current[:, t]
            if recurrent is not None:
                x = x + F.linear(s, recurrent)
            if kind == "iaf":
                theta, width = layer.get("theta", 1.0), layer.get("grad_width", 0.5)
                v = u + x
                ratio = v.detach() / theta
                if ((ratio - ratio.round()).abs() < MARGIN)[ratio > 0.5].any():
                    raise Near
                sigma = layer.get("grad_scale", 1.0) / (theta * width) * torch.exp(-(v.detach() - theta).abs() / (theta * width))
                s = Counted.apply(v, theta, sigma)
                u = v - theta * s
            elif kind in ("lif", "cuba-lif"):
                rest = u * (1 - s) if layer.get("reset") == "hard" else u - s
                if kind == "lif":
                    u = p["alpha"] * rest + (1 - p["alpha"]) * x
                else:
                    w = p["alpha"] * w + x
                    u = p["beta"] * rest + w
                s = spike(u, layer)
            elif kind in ("adlif", "silif"):
                if kind == "adlif":
                    alpha, beta = p["alpha"], p["beta"]
                else:
                    alpha, beta = (torch.exp(-torch.exp(p[n]) * torch.exp(p["dt"])) for n in ("p_alpha", "p_beta"))
                w = beta * w + p["a"] * u + p["b"] * s
                u = alpha * (u - s) + (1 - alpha) * (x - w)
                s = spike(u, layer)
            else:
                pole = torch.exp(torch.exp(p["log_dt"]) * torch.complex(-torch.exp(p["log_log_alpha"]), p["alpha_img"]))
                z = pole * (torch.complex(u, w) - 0.5 * s) + p["b"] * x
                u, w = z.real, z.imag
                s = spike(2 * u, layer)
            out.append(s)
        return torch.stack(out, 1)

    def readout(self, kind, p, current, keys, block):
        if kind == "sum":
            return current.sum(1)
        alpha = p["alpha"].clamp(*FAST)
        y, all_y = starts(keys, block, self.classes, 0) if self.uniform else torch.zeros_like(current[:, 0]), []
        for t in range(current.shape[1]):
            y = alpha * y + (1 - alpha) * current[:, t]
            all_y.append(y)
        y = torch.stack(all_y, 1)
        if kind == "leaky":
            return torch.softmax(y, 2).sum(1)
        if kind == "max":
            two = y.detach().topk(2, 1).values
            if (two[:, 0] - two[:, 1]).min() < MARGIN:
                raise Near
            return y.max(1).values
        return y[:, -1]


def network(neuron, readout="leaky", norm=True, recurrent=False, dropout=0.25, mask="step", uniform=False, sizes=(35, 6)):
    lines = ['init_state = "uniform"'] if uniform else []
    lines.append("layers = [")
    for size in sizes:
        lines.append(f"  {{ linear = {size}{', bias = false' if norm else ''} }},")
        lines += ['  { norm = "batch" },'] * norm + ['  { recurrent = "dense" },'] * recurrent
        lines.append(f"  {{ neuron = {neuron} }},")
        if dropout:
            lines.append(f'  {{ dropout = {dropout}, mask = "{mask}" }},')
    lines.append(f"  {{ linear = \"classes\"{', bias = false' if norm else ''} }},")
    lines += ['  { norm = "batch" },'] * norm + [f'  {{ readout = "{readout}" }},', "]", ""]
    return "\n".join(lines)


NETWORKS = {
    "lif": network('"lif"'),
    "lif-hard": network('"lif", reset = "hard", surrogate = "arctan"', "max", dropout=0),
    "lif-fixed": network('"lif", alpha = 0.9, learn = false, surrogate = "fast-sigmoid", steepness = 5.0', "last", norm=False),
    "rlif": network('"lif"', recurrent=True, uniform=True),
    "cuba-lif": network('"cuba-lif", surrogate = "single-exponential"', "sum", norm=False, dropout=0.5),
    "adlif": network('"adlif", a = [-0.2, 1.0]', dropout=0.1),
    "radlif": network('"adlif", a = [0.0, 1.0]', recurrent=True, dropout=0.3, uniform=True),
    "silif": network('"silif"', dropout=0.5),
    "silif-uniform": network('"silif", width = 0.4, height = 1.25', uniform=True, mask="sample"),
    "c-silif": network('"c-silif"', uniform=True, dropout=0.1),
    "iaf": network('"iaf", theta = 1.5', "sum", dropout=0.5),
    "cuba-lif-hard": network('"cuba-lif", alpha = [0.3, 0.6], beta = [0.3, 0.7], reset = "hard", surrogate = "arctan"',
                             dropout=0),
    "cuba-lif-fixed": network('"cuba-lif", alpha = 0.8, beta = 0.9, learn = false, reset = "hard"', "max", norm=False),
    "rlif-hard": network('"lif", reset = "hard"', recurrent=True, dropout=0.1),
    "c-silif-zero": network('"c-silif"', "last", dropout=0.3),
    "r-silif": network('"silif"', recurrent=True, dropout=0.2, uniform=True),
    "r-cuba-lif": network('"cuba-lif", alpha = [0.3, 0.6], beta = [0.3, 0.7], reset = "hard"', recurrent=True, dropout=0),
    "r-c-silif": network('"c-silif"', "max", recurrent=True, dropout=0.1, uniform=True),
}


def cancel(x, y, weight):
    """Whether the terms of the gradient for the weights of y = x W^T nearly cancel."""
    terms = torch.einsum("bti,bto->oi", x.detach().abs(), y.grad.abs()).max()
    return terms > CANCELLED * weight.grad.abs().max()


def record(text, x, targets, seed):
    rng = np.random.default_rng(seed)
    net = Net(text, INPUTS, CLASSES, lambda _, shape, low, high: rng.uniform(low, high, shape).astype(np.float32))
    initial = {name: v.detach().clone() for name, v in (net.p | net.stats).items()}
    adam = torch.optim.Adam(net.p.values(), lr=0.01)
    with torch.no_grad():
        tensors = {"eval": net.forward(x, [key(0, 0, i) for i in range(BATCH)], False)}
    tensors |= initial
    losses = []
    for step in range(STEPS):
        logits = net.forward(x, [key(SEED, step + 1, i) for i in range(BATCH)], True)
        loss = F.cross_entropy(logits, targets)
        adam.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            tensors["logits"] = logits
            tensors |= {f"grad.{name}": v.grad.clone() for name, v in net.p.items()}
            if any(cancel(*product) for product in net.products) or not all(v.grad.any() for v in net.p.values()):
                raise Near
            tensors |= {f"stat.{name}": 0.95 * net.stats[name] + 0.05 * v for name, v in net.batch.items()}
        adam.step()
    tensors["losses"] = torch.tensor(losses)
    return {name: v.detach().numpy().astype(np.float32) for name, v in tensors.items()}


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.5, (BATCH, T, INPUTS)).astype(np.uint8)
    targets = rng.integers(0, CLASSES, BATCH)
    x = torch.tensor(counts, dtype=torch.float64)
    tensors = {"x": counts, "targets": targets.astype(np.uint8)}
    for number, (name, text) in enumerate(NETWORKS.items()):
        for seed in range(200 * number, 200 * number + 5000):
            try:
                made = record(text, x, torch.tensor(targets), seed)
            except Near:
                continue
            break
        else:
            sys.exit(f"{name}: every seed has a potential near a jump")
        print(f"{name}: seed {seed}, losses {made['losses']}")
        tensors |= {f"{name}/{part}": value for part, value in made.items()}
    save_file(tensors, os.path.join(sys.argv[1], "torch_layers.safetensors"), {"networks": json.dumps(NETWORKS)})


if __name__ == "__main__":
    main()
