"""How long one training step of a network of scripts/bench/networks takes with PyTorch.

    python cells_torch.py [--cell silif|adlif|lif|c-silif] [--form FORM] [--hidden 512,512] [--device cuda] [--check]

authors    a loop over time, `Wx[:, t]` at each step, as sparch's and SiLIF's authors write it
unbound    the same loop over the tensors of `unbind`, so that the gradient is put together once
compiled   pieces of this loop, compiled by torch.compile
fused      the gradient written by hand (silif, adlif, lif; not recurrent): on the CPU the cells of cells.c on two threads, on
           a GPU the kernels of triton_cells.py

On a GPU the frames are on the device already, products are in TF32, and in all forms but authors and unbound the whole step,
Adam included, is replayed as one CUDA graph; graph is unbound as such a graph.

--check compares loss and gradients of a form with those of unbound, without dropout and from states of zero. On the CPU,
--check --triton runs the kernels of triton_cells.py in Triton's interpreter.
"""
import concurrent.futures
import ctypes
import os
import pathlib
import subprocess
import tempfile

import torch

import cells
import step
import torch_step

PIECE = 25  # steps of a compiled piece of the loop


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


def loop(cell, constants, states, steps, v):
    """A loop over time. `steps` gives the currents of each step, `v` are recurrent weights or None. Returns the states after
    it, and the spikes (B, T, H)."""
    spikes, (s, u, w) = [], states
    if cell == "c-silif":
        decay, b = constants
        for current in steps:
            u = decay * (u - 0.5 * s) + b * current
            s = Spike.apply(2 * u.real - 1.0)
            spikes.append(s)
    elif cell == "lif":
        (alpha,) = constants
        for current in steps:
            current = current if v is None else current + s @ v
            u = alpha * (u - s) + (1 - alpha) * current
            s = Spike.apply(u - 1.0)
            spikes.append(s)
    else:
        alpha, beta, a, b = constants
        for current in steps:
            current = current if v is None else current + s @ v
            w = beta * w + a * u + b * s
            u = alpha * (u - s) + (1 - alpha) * (current - w)
            s = Spike.apply(u - 1.0)
            spikes.append(s)
    return (s, u, w), torch.stack(spikes, 1)


def leak(alpha, y, steps):
    """The leaky readout over some steps: y after them, and the sum of its softmax."""
    total = torch.zeros_like(y)
    for current in steps:
        y = alpha * y + (1 - alpha) * current
        total = total + torch.softmax(y, 1)
    return y, total


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


def fused_cells(args):
    """Functions for the adaptive cell, the leaky cell and the leaky integrator."""
    if args.device == "cuda" or args.triton:
        from triton_cells import Adaptive, Leaky

        leaky = lambda spikes: lambda x, alpha, u, s: Leaky.apply(x, alpha, u, s, spikes)
        return Adaptive.apply, leaky(True), leaky(False)
    fused = Fused(args.threads)
    c = fused.c
    leaky = lambda spikes: fused.function(c.leaky_forward, c.leaky_backward, 1, 2, (spikes,))
    return fused.function(c.adaptive_forward, c.adaptive_backward, 4, 3), leaky(1), leaky(0)


def network(args):
    """A function that returns the output of a batch, the parameters, the norms and the shares of spikes."""
    given = cells.parameters(args)
    leaf = lambda value: torch.from_numpy(value).to(args.device).requires_grad_()
    layers = [{k: [leaf(v) for v in x] if k == "cell" else leaf(x) for k, x in layer.items()} for layer in given]
    norms = [torch.nn.BatchNorm1d(layer["weight"].shape[1], momentum=0.05, device=args.device) for layer in layers]
    if args.form == "fused":
        adaptive, leaky, integrator = fused_cells(args)
    run, run_readout = loop, leak
    if args.form == "compiled":
        run, run_readout = (torch.compile(of, fullgraph=True, dynamic=False) for of in (loop, leak))

    def start(x, dtype=torch.float32):
        of = torch.zeros if args.zero_states else torch.rand
        return of(x.shape[0], x.shape[2], dtype=dtype, device=args.device)

    def pieces(x):
        """Currents of each step, in the pieces in which the loop runs."""
        if args.form == "authors":
            return [(x[:, t] for t in range(x.shape[1]))]
        steps = x.unbind(1)
        size = PIECE if args.form == "compiled" else len(steps)
        return [steps[first : first + size] for first in range(0, len(steps), size)]

    def currents(x, layer, norm):
        y = x @ layer["weight"]
        return y if args.no_norm else norm(y.flatten(0, 1)).view_as(y)

    def spikes(x, layer):
        constants = effective(args.cell, layer["cell"])
        if args.form == "fused":
            cell, states = (leaky, 2) if args.cell == "lif" else (adaptive, 3)
            return cell(x, *constants, *(start(x) for _ in range(states)))
        recurrent = layer.get("recurrent")
        v = None if recurrent is None else recurrent.clone().fill_diagonal_(0)
        states, found = (start(x), start(x, torch.cfloat if args.cell == "c-silif" else torch.float32), start(x)), []
        for steps in pieces(x):
            states, some = run(args.cell, constants, states, steps, v)
            found.append(some)
        return torch.cat(found, 1) if len(found) > 1 else found[0]

    def output(x, training=True):
        for norm in norms:
            norm.train(training)
        for layer, norm in zip(layers[:-1], norms):
            s = spikes(currents(x, layer, norm), layer)
            x = torch.nn.functional.dropout(s, args.dropout, training)
            rates.append(s.detach().mean())
        x = currents(x, layers[-1], norms[-1])
        alpha = layers[-1]["cell"][0].clamp(*cells.FAST)
        y = start(x)
        if args.form == "fused":
            return torch.softmax(integrator(x, alpha, y, y), 2).sum(1)
        total = torch.zeros_like(y)
        for steps in pieces(x):
            y, more = run_readout(alpha, y, steps)
            total = total + more
        return total

    rates = []
    flat = [p for layer in layers for x in layer.values() for p in (x if isinstance(x, list) else [x])]
    return output, flat + [p for norm in norms for p in norm.parameters()], norms, rates


def loss_and_gradients(args):
    torch.manual_seed(0)
    output, parameters, norms, rates = network(args)
    for norm in norms:
        torch.nn.init.constant_(norm.weight, 8.0)  # so that the neurons spike
    counts, labels = cells.frames(args)
    x, labels = (torch.from_numpy(array).to(args.device) for array in (counts, labels))
    loss = torch.nn.functional.cross_entropy(output(x), labels)
    loss.backward()
    assert min(rates) > 0.01, f"too few spikes to compare: {rates}"
    return loss.item(), [p.grad for p in parameters if p.requires_grad]


def check(args):
    """Compares loss and gradients with those of unbound on a small batch, so that Triton's interpreter takes seconds."""
    cells.BATCH, cells.FRAMES = 3, 40
    args.dropout, args.zero_states, form = 0.0, True, args.form
    (loss, gradients), args.form = loss_and_gradients(args), "unbound"
    expected, right = loss_and_gradients(args)
    off = max(((g - r).abs().max() / r.abs().max().clamp(min=1e-6)).item() for g, r in zip(gradients, right, strict=True) if r is not None)
    good = abs(loss / expected - 1) < 1e-5 and off < 1e-4
    print(f"{form}, {args.cell}: loss {loss:.5f}, gradients off by {off:.1e}: {'same' if good else 'WRONG'}")
    if not good:
        raise SystemExit(1)


def main():
    parser = cells.options(__doc__, ["authors", "unbound", "compiled", "fused", "graph"])
    parser.add_argument("--check", action="store_true", help="compare loss and gradients with unbound's, time nothing")
    parser.add_argument("--triton", action="store_true", help="with --check on the CPU: the kernels of triton_cells.py")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.triton and args.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    if args.check:
        return check(args)
    is_cuda = args.device == "cuda"
    if is_cuda:
        torch.set_float32_matmul_precision("high")  # TF32
    torch.manual_seed(0)
    output, parameters, _, rates = network(args)
    parameters = [p for p in parameters if p.requires_grad]
    fast = {"fused": True, "capturable": True} if is_cuda else {}
    adam = torch.optim.Adam(parameters, lr=cells.LEARNING_RATE, **fast)
    counts, labels = cells.frames(args)
    x, labels = torch.from_numpy(counts).to(args.device), torch.from_numpy(labels).to(args.device)
    losses = []

    def one():
        adam.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(output(x), labels)
        loss.backward()
        adam.step()
        losses.append(loss.detach())

    if is_cuda:
        in_a_graph = args.form not in ("authors", "unbound")
        times = step.cuda_seconds(torch_step.as_graph(one) if in_a_graph else one, args)
    else:
        times = step.seconds(one, args, warm_up=2 if args.form == "compiled" else 1)
    args.batch, args.frames = cells.BATCH, cells.FRAMES
    hidden = len(args.hidden.split(","))
    last = lambda values, count: [float(value) for value in values[-count:]]
    found = {"losses": last(losses, len(losses)), "rates": last(rates, hidden)}
    step.print_report(args, f"torch {torch.__version__}, {args.form}", times, **found)


if __name__ == "__main__":
    main()
