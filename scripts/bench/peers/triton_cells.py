"""The adaptive and the leaky cell over all time steps as one Triton kernel each way, as one would write them by hand.

Currents, states and spikes are (B, T, H); a program has one sample and a block of neurons, and walks through time with the
states in registers. Backward is one pass in reverse. It writes the gradients of a neuron's constants for each sample, which
are then added up. The formulas are those of cells.c.
"""
import torch
import triton
import triton.language as tl

INTERPRETED = triton.knobs.runtime.interpret
CONFIGS = [(64, 1, 4), (64, 1, 8), (128, 1, 4), (128, 2, 4), (128, 4, 4), (256, 4, 4)]
configs = [triton.Config({"BLOCK": block, "STAGES": stages}, num_warps=warps) for block, warps, stages in CONFIGS]
tuned = triton.autotune(configs[:1] if INTERPRETED else configs, key=["H", "T"])


@tuned
@triton.jit
def adaptive_forward(currents, alphas, betas, as_, bs, u0, w0, s0, us, ws, spikes, H, T: tl.constexpr,
                     BLOCK: tl.constexpr, STAGES: tl.constexpr):
    sample, h = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = h < H
    alpha, beta = tl.load(alphas + h, mask=inside, other=0.0), tl.load(betas + h, mask=inside, other=0.0)
    a, b = tl.load(as_ + h, mask=inside, other=0.0), tl.load(bs + h, mask=inside, other=0.0)
    at = sample * H + h
    u, w = tl.load(u0 + at, mask=inside, other=0.0), tl.load(w0 + at, mask=inside, other=0.0)
    s = tl.load(s0 + at, mask=inside, other=0.0)
    at = sample * T * H + h
    for _ in tl.range(0, T, num_stages=STAGES):
        x = tl.load(currents + at, mask=inside, other=0.0)
        w = beta * w + a * u + b * s
        u = alpha * (u - s) + (1 - alpha) * (x - w)
        s = tl.where(u > 1.0, 1.0, 0.0)
        tl.store(us + at, u, mask=inside)
        tl.store(ws + at, w, mask=inside)
        tl.store(spikes + at, s, mask=inside)
        at += H


@triton.jit
def box(u):
    return tl.where((u - 1.0 > -0.5) & (u - 1.0 <= 0.5), 1.0, 0.0)


@triton.jit
def adaptive_step_back(u, g, alpha, beta, a, b, by_u, by_w):
    """The gradients by a step's u and w, from those of the step after."""
    by_s = g - alpha * by_u + b * by_w
    by_u = box(u) * by_s + alpha * by_u + a * by_w
    return by_u, beta * by_w - (1 - alpha) * by_u


@tuned
@triton.jit
def adaptive_backward(currents, above, alphas, betas, as_, bs, u0, w0, s0, us, ws, result, sums, B, H, T: tl.constexpr,
                      BLOCK: tl.constexpr, STAGES: tl.constexpr):
    sample, h = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = h < H
    alpha, beta = tl.load(alphas + h, mask=inside, other=0.0), tl.load(betas + h, mask=inside, other=0.0)
    a, b = tl.load(as_ + h, mask=inside, other=0.0), tl.load(bs + h, mask=inside, other=0.0)
    of_alpha, of_beta = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    of_a, of_b = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    by_u, by_w = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    at, first = (sample * T + T - 1) * H + h, sample * H + h
    for _ in tl.range(0, T - 1, num_stages=STAGES):
        u, w = tl.load(us + at, mask=inside, other=0.0), tl.load(ws + at, mask=inside, other=0.0)
        x, g = tl.load(currents + at, mask=inside, other=0.0), tl.load(above + at, mask=inside, other=0.0)
        u_before, w_before = tl.load(us + at - H, mask=inside, other=0.0), tl.load(ws + at - H, mask=inside, other=0.0)
        s_before = tl.where(u_before > 1.0, 1.0, 0.0)
        by_u, by_w = adaptive_step_back(u, g, alpha, beta, a, b, by_u, by_w)
        tl.store(result + at, (1 - alpha) * by_u, mask=inside)
        of_alpha += by_u * ((u_before - s_before) - (x - w))
        of_beta += by_w * w_before
        of_a += by_w * u_before
        of_b += by_w * s_before
        at -= H
    u, w = tl.load(us + at, mask=inside, other=0.0), tl.load(ws + at, mask=inside, other=0.0)
    x, g = tl.load(currents + at, mask=inside, other=0.0), tl.load(above + at, mask=inside, other=0.0)
    u_before, w_before = tl.load(u0 + first, mask=inside, other=0.0), tl.load(w0 + first, mask=inside, other=0.0)
    s_before = tl.load(s0 + first, mask=inside, other=0.0)
    by_u, by_w = adaptive_step_back(u, g, alpha, beta, a, b, by_u, by_w)
    tl.store(result + at, (1 - alpha) * by_u, mask=inside)
    tl.store(sums + first, of_alpha + by_u * ((u_before - s_before) - (x - w)), mask=inside)
    tl.store(sums + B * H + first, of_beta + by_w * w_before, mask=inside)
    tl.store(sums + 2 * B * H + first, of_a + by_w * u_before, mask=inside)
    tl.store(sums + 3 * B * H + first, of_b + by_w * s_before, mask=inside)


@tuned
@triton.jit
def leaky_forward(currents, alphas, u0, s0, us, spikes, H, SPIKES: tl.constexpr, T: tl.constexpr, BLOCK: tl.constexpr,
                  STAGES: tl.constexpr):
    sample, h = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = h < H
    alpha = tl.load(alphas + h, mask=inside, other=0.0)
    at = sample * H + h
    u, s = tl.load(u0 + at, mask=inside, other=0.0), tl.zeros([BLOCK], tl.float32)
    if SPIKES:
        s = tl.load(s0 + at, mask=inside, other=0.0)
    at = sample * T * H + h
    for _ in tl.range(0, T, num_stages=STAGES):
        u = alpha * (u - s) + (1 - alpha) * tl.load(currents + at, mask=inside, other=0.0)
        tl.store(us + at, u, mask=inside)
        if SPIKES:
            s = tl.where(u > 1.0, 1.0, 0.0)
            tl.store(spikes + at, s, mask=inside)
        at += H


@triton.jit
def leaky_step_back(u, g, alpha, by_u, SPIKES: tl.constexpr):
    """The gradient by a step's u, from that of the step after."""
    if SPIKES:
        by_u = box(u) * (g - alpha * by_u) + alpha * by_u
    else:
        by_u = g + alpha * by_u
    return by_u


@tuned
@triton.jit
def leaky_backward(currents, above, alphas, u0, s0, us, result, sums, H, SPIKES: tl.constexpr, T: tl.constexpr,
                   BLOCK: tl.constexpr, STAGES: tl.constexpr):
    sample, h = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = h < H
    alpha = tl.load(alphas + h, mask=inside, other=0.0)
    by_u, of_alpha = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    at, first = (sample * T + T - 1) * H + h, sample * H + h
    for _ in tl.range(0, T - 1, num_stages=STAGES):
        u, x = tl.load(us + at, mask=inside, other=0.0), tl.load(currents + at, mask=inside, other=0.0)
        g, before = tl.load(above + at, mask=inside, other=0.0), tl.load(us + at - H, mask=inside, other=0.0)
        if SPIKES:
            before -= tl.where(before > 1.0, 1.0, 0.0)
        by_u = leaky_step_back(u, g, alpha, by_u, SPIKES)
        tl.store(result + at, (1 - alpha) * by_u, mask=inside)
        of_alpha += by_u * (before - x)
        at -= H
    u, x = tl.load(us + at, mask=inside, other=0.0), tl.load(currents + at, mask=inside, other=0.0)
    g, before = tl.load(above + at, mask=inside, other=0.0), tl.load(u0 + first, mask=inside, other=0.0)
    if SPIKES:
        before -= tl.load(s0 + first, mask=inside, other=0.0)
    by_u = leaky_step_back(u, g, alpha, by_u, SPIKES)
    tl.store(result + at, (1 - alpha) * by_u, mask=inside)
    tl.store(sums + first, of_alpha + by_u * (before - x), mask=inside)


def grid_of(tensor):
    return lambda meta: (tensor.shape[0], triton.cdiv(tensor.shape[2], meta["BLOCK"]))


class Adaptive(torch.autograd.Function):
    """Spikes of currents (B, T, H), of alpha, beta, a and b (H,), and of the states u, w and s (B, H) before the first step."""

    @staticmethod
    def forward(ctx, currents, *rest):
        currents, rest = currents.contiguous(), [x.contiguous() for x in rest]
        us, ws, spikes = (torch.empty_like(currents) for _ in range(3))
        adaptive_forward[grid_of(currents)](currents, *rest, us, ws, spikes, currents.shape[2], T=currents.shape[1])
        ctx.save_for_backward(currents, *rest, us, ws)
        return spikes

    @staticmethod
    def backward(ctx, above):
        currents, *others = ctx.saved_tensors
        batch, frames, neurons = currents.shape
        result, sums = torch.empty_like(currents), currents.new_empty(4, batch, neurons)
        adaptive_backward[grid_of(currents)](currents, above.contiguous(), *others, result, sums, batch, neurons, T=frames)
        return result, *sums.sum(1), None, None, None


class Leaky(torch.autograd.Function):
    """Spikes of currents (B, T, H), or with `spikes` false the potentials of an integrator. alpha (H,), states (B, H)."""

    @staticmethod
    def forward(ctx, currents, alpha, u0, s0, spikes):
        currents, rest = currents.contiguous(), [alpha.contiguous(), u0, s0]
        us = torch.empty_like(currents)
        out = torch.empty_like(currents) if spikes else us
        leaky_forward[grid_of(currents)](currents, *rest, us, out, currents.shape[2], SPIKES=spikes, T=currents.shape[1])
        ctx.save_for_backward(currents, *rest, us)
        ctx.spikes = spikes
        return out

    @staticmethod
    def backward(ctx, above):
        currents, *others = ctx.saved_tensors
        batch, frames, neurons = currents.shape
        result, sums = torch.empty_like(currents), currents.new_empty(batch, neurons)
        leaky_backward[grid_of(currents)](
            currents, above.contiguous(), *others, result, sums, neurons, SPIKES=ctx.spikes, T=frames)
        return result, sums.sum(0), None, None, None
