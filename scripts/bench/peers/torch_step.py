"""Shared by the two peers written in plain PyTorch: parameters, loss and update, and a whole step as a CUDA graph."""
import gc
import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy, linear

import oracle
import step


class Spike(torch.autograd.Function):
    """As many spikes as the threshold of 1 goes into the membrane potential; the surrogate is SingleExponential's."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return torch.where(v > 0, v.floor(), 0.0)

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        return g * 2.0 * torch.exp(-2.0 * (v - 1.0).abs())


def neurons(u, currents):
    """A layer's neurons over some steps, written as a loop: potentials (B, N) and currents (T, B, N) in, likewise out.

    Potentials are float32 and spikes of the currents' type, which holds them exactly up to 256 even in bfloat16.
    """
    spikes = []
    for current in currents.unbind(0):
        v = u + current.float()
        s = Spike.apply(v)
        u = v - s
        spikes.append(s)
    return u, torch.stack(spikes).to(currents.dtype)


def at_rest(like):
    """Potentials zero, for currents (T, B, N); their gradient is of no use, but every chunk of steps is compiled once."""
    return torch.zeros(like.shape[1:], device=like.device, requires_grad=True)


def read_out(params, spikes):
    """The readout summed over time, from spikes (T, B, N): a product of their sum, since it is linear."""
    return read_out_sum(params, spikes.sum(0, dtype=torch.float32), len(spikes))


def read_out_sum(params, total, frames):
    weight, bias = params[-1]
    return linear(total, weight, frames * bias)


def current_of(x, layer):
    """Currents of a layer for any number of steps at once, in the input's type."""
    weight, bias = layer
    return linear(x, weight.to(x.dtype), bias.to(x.dtype))


def parameters(args, values=None):
    """PyTorch's initialisation of nn.Linear, hidden weights times `--gain`, or the values given."""
    def uniform(bound, *shape):
        return torch.empty(shape).uniform_(-bound, bound)

    if values is None:
        torch.manual_seed(0)
        sizes = (step.CHANNELS, *3 * (args.hidden,), step.CLASSES)
        values = [(uniform(i**-0.5, o, i), uniform(i**-0.5, o)) for i, o in zip(sizes, sizes[1:])]
        values[:3] = [(weight * args.gain, bias) for weight, bias in values[:3]]
    return [tuple(torch.as_tensor(v).to(args.device).requires_grad_() for v in pair) for pair in values]


def frames_on_device(args):
    """Frames (T, B, C) and labels, on the device before anything is timed; counts are exact in bfloat16 too."""
    x, y = step.random_frames(args)
    return torch.from_numpy(x).transpose(0, 1).contiguous().to(args.device), torch.from_numpy(y).to(args.device)


def training_step(forward, args, x, y):
    """A function that does one training step: forward, loss, backward, Adam."""
    params = parameters(args)
    fast = {"fused": True, "capturable": True} if args.device == "cuda" else {}
    adam = torch.optim.Adam([p for pair in params for p in pair], lr=step.LEARNING_RATE, **fast)

    def one():
        adam.zero_grad(set_to_none=True)
        cross_entropy(forward(params, x), y).backward()
        adam.step()

    return one


def as_graph(one):
    """Replays the whole step as one CUDA graph."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            one()
    torch.cuda.current_stream().wait_stream(aside)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one()
    return graph.replay


def seconds(forward, args, x, y, graph=False, before=lambda: None):
    """Seconds of each step. `before` is called before each step."""
    gc.collect()  # of the last variant, including captured memory
    torch.cuda.empty_cache()
    one = training_step(forward, args, x, y)
    one = as_graph(one) if graph and args.device == "cuda" else one

    def timed():
        before()
        one()

    return step.cuda_seconds(timed, args) if args.device == "cuda" else step.seconds(timed, args, warm_up=2)


def check(name, forward, args, dtype=torch.float32):
    """Compares loss and gradients of a network's forward pass with the oracle's."""
    torch.set_float32_matmul_precision("highest")
    values = oracle.weights(args)
    x, y = step.random_frames(args)
    params = parameters(args, values)
    frames, labels = frames_on_device(args)
    loss = cross_entropy(forward(params, frames.to(dtype)), labels)
    loss.backward()
    gradients = [np.asarray(p.grad.cpu()) for pair in params for p in pair]
    assert math.isfinite(loss.item())
    oracle.compare(name, loss.item(), gradients, values, x, y)


@torch.no_grad()
def spike_density(args, x):
    """Share of (neuron, step) with a spike, the mean of the hidden layers."""
    params, x, shares = parameters(args), x[:, : step.SPIKE_SAMPLES], []
    for layer in params[:-1]:
        currents = current_of(x, layer)
        x = neurons(torch.zeros_like(currents[0]), currents)[1]
        shares.append((x > 0).float().mean().item())
    return sum(shares) / len(shares)
