"""How long one training step of a network of scripts/bench/networks takes with PyTorch.

    python cells_torch.py [--cell silif|adlif|lif|c-silif] [--form authors|unbound|fused] [--hidden 512,512]

authors   a loop over time, `Wx[:, t]` at each step, as sparch's and SiLIF's authors write it
unbound   the same loop over the tensors of `unbind`, so that the gradient is put together once
fused     cells.c, with the gradient written by hand, on two threads (silif, adlif, lif; not recurrent)
"""
import concurrent.futures
import ctypes
import pathlib
import subprocess
import tempfile

import torch

import cells
import step


class Spike(torch.autograd.Function):
    """1 where x is above 0; the derivative is 1 for -0.5 < x <= 0.5, else 0."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ((x > -0.5) & (x <= 0.5)).to(g.dtype)


def effective(cell, raw):
    """The constants of a cell from what it learns."""
    raw = [value if clamp is None else value.clamp(*clamp) for value, (_, clamp) in zip(raw, cells.CELLS[cell])]
    if cell == "silif":
        p_alpha, p_beta, dt, a, b = raw
        return [torch.exp(-torch.exp(p_alpha) * torch.exp(dt)), torch.exp(-torch.exp(p_beta) * torch.exp(dt)), a, b]
    if cell == "c-silif":
        log_log_alpha, alpha_img, log_dt, b = raw
        return [torch.exp((-torch.exp(log_log_alpha) + 1j * alpha_img) * torch.exp(log_dt)), b]
    return raw


def loop(cell, constants, currents, steps, recurrent, start):
    """Spikes (B, T, H) of a loop over time. `steps` gives the currents of each step, and `start` the initial states."""
    batch, _, neurons = currents.shape
    state = lambda dtype=torch.float32: start(batch, neurons, dtype=dtype)
    spikes, s = [], state()
    v = None if recurrent is None else recurrent.clone().fill_diagonal_(0)
    if cell == "c-silif":
        (decay, b), z = constants, state(torch.cfloat)
        for current in steps:
            z = decay * (z - 0.5 * s) + b * current
            s = Spike.apply(2 * z.real - 1.0)
            spikes.append(s)
    elif cell == "lif":
        (alpha,), u = constants, state()
        for current in steps:
            current = current if v is None else current + s @ v
            u = alpha * (u - s) + (1 - alpha) * current
            s = Spike.apply(u - 1.0)
            spikes.append(s)
    else:
        (alpha, beta, a, b), u, w = constants, state(), state()
        for current in steps:
            current = current if v is None else current + s @ v
            w = beta * w + a * u + b * s
            u = alpha * (u - s) + (1 - alpha) * (current - w)
            s = Spike.apply(u - 1.0)
            spikes.append(s)
    return torch.stack(spikes, 1)


def library():
    """Compiles cells.c for this machine."""
    here, folder = pathlib.Path(__file__).parent, tempfile.mkdtemp()
    flags = ["-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, here / "cells.c", "-o", f"{folder}/libcells.so"], check=True)
    return ctypes.CDLL(f"{folder}/libcells.so")


class Fused:
    """The cells of cells.c as autograd functions."""

    def __init__(self, threads):
        self.c, self.threads = library(), threads
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)

    def call(self, function, batch, make):
        ends = [batch * i // self.threads for i in range(self.threads + 1)]
        parts = [(b0, b1, *make(b0)) for b0, b1 in zip(ends, ends[1:])]
        list(self.pool.map(lambda part: function(*part), parts))

    def function(self, forward, backward, constants, kept, tail=()):
        """`constants` parameters per neuron; `kept` tensors that the forward pass writes, spikes (or states) last."""
        outer = self
        pointer = lambda tensor: ctypes.c_void_p(tensor.data_ptr())

        class Cell(torch.autograd.Function):
            @staticmethod
            def forward(ctx, currents, *rest):
                currents = currents.contiguous()
                written = [torch.empty_like(currents) for _ in range(kept)]
                read = [currents, *[x.contiguous() for x in rest]]
                pointers = [pointer(x) for x in (*read, *written)]
                outer.call(forward, len(currents), lambda _: (*currents.shape[1:], *pointers, *tail))
                ctx.save_for_backward(*read, *written)
                return written[0] if tail == (0,) else written[-1]

            @staticmethod
            def backward(ctx, g):
                saved, g = ctx.saved_tensors, g.contiguous()
                currents, result, sums = saved[0], torch.empty_like(g), {}
                neurons = currents.shape[2]

                def make(b0):
                    totals = torch.zeros(constants, neurons, dtype=torch.float64)
                    sums[b0] = (totals, torch.empty((constants + 2) * neurons))
                    read = [pointer(x) for x in (currents, g, *saved[1:], result)]
                    return (*currents.shape[1:], *read, pointer(totals), pointer(sums[b0][1]), *tail)

                outer.call(backward, len(currents), make)
                total = sum(totals for totals, _ in sums.values()).float()
                states = len(saved) - 1 - constants - kept
                return result, *total, *[None] * states

        return Cell.apply


def network(args):
    """A function that returns the output of a batch, the parameters, the norms and the shares of spikes."""
    given = cells.parameters(args)
    leaf = lambda value: torch.from_numpy(value).requires_grad_()
    layers = [{k: [leaf(v) for v in x] if k == "cell" else leaf(x) for k, x in layer.items()} for layer in given]
    norms = [torch.nn.BatchNorm1d(layer["weight"].shape[1], momentum=0.05) for layer in layers]
    fused = Fused(args.threads) if args.form == "fused" else None
    start = torch.zeros if args.zero_states else torch.rand
    if fused:
        c = fused.c
        adaptive = fused.function(c.adaptive_forward, c.adaptive_backward, 4, 3)
        leaky = fused.function(c.leaky_forward, c.leaky_backward, 1, 2, (1,))
        integrator = fused.function(c.leaky_forward, c.leaky_backward, 1, 2, (0,))

    def currents(x, layer, norm):
        y = x @ layer["weight"]
        return y if args.no_norm else norm(y.flatten(0, 1)).view_as(y)

    def spikes(x, layer):
        constants = effective(args.cell, layer["cell"])
        if fused:
            state = lambda: start(x.shape[0], x.shape[2])
            if args.cell == "lif":
                return leaky(x, *constants, state(), state())
            return adaptive(x, *constants, state(), state(), state())
        steps = x.unbind(1) if args.form == "unbound" else (x[:, t] for t in range(x.shape[1]))
        return loop(args.cell, constants, x, steps, layer.get("recurrent"), start)

    def output(x, training=True):
        for norm in norms:
            norm.train(training)
        for layer, norm in zip(layers[:-1], norms):
            s = spikes(currents(x, layer, norm), layer)
            x = torch.nn.functional.dropout(s, args.dropout, training)
            rates.append(s.detach().mean().item())
        x = currents(x, layers[-1], norms[-1])
        alpha = layers[-1]["cell"][0].clamp(*cells.FAST)
        y = start(x.shape[0], x.shape[2])
        if fused:
            return torch.softmax(integrator(x, alpha, y, y), 2).sum(1)
        total = torch.zeros_like(y)
        for current in x.unbind(1) if args.form == "unbound" else (x[:, t] for t in range(x.shape[1])):
            y = alpha * y + (1 - alpha) * current
            total = total + torch.softmax(y, 1)
        return total

    rates = []
    flat = [p for layer in layers for x in layer.values() for p in (x if isinstance(x, list) else [x])]
    return output, flat + [p for norm in norms for p in norm.parameters()], norms, rates


def main():
    args = cells.options(__doc__, ["authors", "unbound", "fused"]).parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    output, parameters, _, rates = network(args)
    parameters = [p for p in parameters if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=cells.LEARNING_RATE)
    counts, labels = cells.frames(args)
    x, labels = torch.from_numpy(counts), torch.from_numpy(labels)
    losses = []

    def one():
        adam.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(output(x), labels)
        loss.backward()
        adam.step()
        losses.append(loss.item())

    times = step.seconds(one, args)
    args.device, args.batch, args.frames = "cpu", cells.BATCH, cells.FRAMES
    hidden = len(args.hidden.split(","))
    step.print_report(args, f"torch {torch.__version__}, {args.form}", times, losses=losses, rates=rates[-hidden:])


if __name__ == "__main__":
    main()
