"""The neurons of a layer over all time steps as one Triton kernel each way, as one would write them by hand.

Currents, potentials and spikes are (T, M), where M = batch x neurons; a program has a block of columns and walks through
time with the state in registers. Backward is one linear pass in reverse. Their loads do not depend on the state, so they
are pipelined `stages` deep. Where only the sum of spikes over time is wanted, as the readout does, no spikes are written
and their gradient is the same at all steps.
"""
import torch
import triton
import triton.language as tl

INTERPRETED = triton.knobs.runtime.interpret

# Blocks have at least four bytes per thread, in both types, or their loads cannot be pipelined.
CONFIGS = [(64, 1, 8), (64, 1, 4), (128, 1, 8), (128, 2, 8), (128, 2, 4), (256, 4, 8)]
configs = [triton.Config({"BLOCK": block, "STAGES": stages}, num_warps=warps) for block, warps, stages in CONFIGS]
tuned = triton.autotune(configs[:1] if INTERPRETED else configs, key=["M", "T", "SUM", "BITS"])


@tuned
@triton.jit
def forward_kernel(currents, v_out, spikes, M, T: tl.constexpr, SUM: tl.constexpr, BITS: tl.constexpr,
                   BLOCK: tl.constexpr, STAGES: tl.constexpr):
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < M
    from_, to, out = currents + columns, v_out + columns, spikes + columns
    u = tl.zeros([BLOCK], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for _ in tl.range(0, T, num_stages=STAGES):
        v = u + tl.load(from_, mask=inside, other=0.0).to(tl.float32)
        s = tl.where(v > 0, tl.floor(v), 0.0)
        u = v - s
        tl.store(to, v.to(v_out.dtype.element_ty), mask=inside)
        if SUM:
            total += s
        else:
            tl.store(out, s.to(spikes.dtype.element_ty), mask=inside)
            out += M
        from_ += M
        to += M
    if SUM:
        tl.store(out, total, mask=inside)


@tuned
@triton.jit
def backward_kernel(v_in, above, result, M, T: tl.constexpr, SUM: tl.constexpr, BITS: tl.constexpr,
                    BLOCK: tl.constexpr, STAGES: tl.constexpr):
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < M
    last = columns + (T - 1) * M.to(tl.int64)
    from_, to, g_from = v_in + last, result + last, above + last
    g = tl.zeros([BLOCK], tl.float32)
    if SUM:
        g += tl.load(above + columns, mask=inside, other=0.0)
    following = tl.zeros([BLOCK], tl.float32)
    for _ in tl.range(0, T, num_stages=STAGES):
        v = tl.load(from_, mask=inside, other=0.0).to(tl.float32)
        if not SUM:
            g = tl.load(g_from, mask=inside, other=0.0).to(tl.float32)
            g_from -= M
        sigma = 2.0 * tl.exp(-2.0 * tl.abs(v - 1.0))
        following = sigma * g + (1.0 - sigma) * following
        tl.store(to, following.to(result.dtype.element_ty), mask=inside)
        from_ -= M
        to -= M


class Iaf(torch.autograd.Function):
    """Spikes (T, B, N) of currents (T, B, N), or their sum over time in float32."""

    @staticmethod
    def forward(ctx, currents, only_sum):
        frames, columns = len(currents), currents[0].numel()
        v = torch.empty_like(currents)
        spikes = torch.empty_like(currents[0], dtype=torch.float32) if only_sum else torch.empty_like(currents)
        ctx.save_for_backward(v)
        ctx.only_sum = only_sum
        grid = lambda meta: (triton.cdiv(columns, meta["BLOCK"]),)
        forward_kernel[grid](currents, v, spikes, columns, T=frames, SUM=only_sum, BITS=8 * v.element_size())
        return spikes

    @staticmethod
    def backward(ctx, above):
        (v,) = ctx.saved_tensors
        frames, columns = len(v), v[0].numel()
        result = torch.empty_like(v)
        grid = lambda meta: (triton.cdiv(columns, meta["BLOCK"]),)
        bits = 8 * v.element_size()
        backward_kernel[grid](v, above.contiguous(), result, columns, T=frames, SUM=ctx.only_sum, BITS=bits)
        return result, None
