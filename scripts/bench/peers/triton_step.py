"""How long a training step takes with fused kernels that one would write by hand in Triton, the best that we could.

    python triton_step.py [--device cuda] [--steps 30] [--batch N] [--frames T] [--hidden N] [--json] [--check]

The same network, neuron and batch as sinabs_step.py, the frames on the device already. A layer's product is torch's for
all time steps at once, its neurons are one kernel forward and one backward (triton_iaf.py), the readout is a product of the
sum of spikes, Adam is torch's fused one, and the whole step is replayed as a CUDA graph. In TF32, all activations float32;
and in bfloat16, all activations bfloat16, with potentials float32 in registers. The faster counts.

On the CPU, --check runs the kernels in Triton's interpreter (nothing can be timed there).
"""
import functools
import os

import torch

import oracle
import step
import torch_step
from torch_step import current_of, read_out_sum

FORMS = {"tf32 graph": (torch.float32, True), "bf16 graph": (torch.bfloat16, True), "tf32": (torch.float32, False)}


def network(params, x):
    from triton_iaf import Iaf

    *lower, last = params[:-1]
    for layer in lower:
        x = Iaf.apply(current_of(x, layer), False)
    return read_out_sum(params, Iaf.apply(current_of(x, last), True), len(x))


def check_neurons(args, dtype):
    """Compares the kernels alone with the plain loop, on currents that are exact in `dtype`. Potentials may be rounded."""
    from triton_iaf import Iaf

    torch.manual_seed(0)
    currents = (torch.randint(-32, 64, (args.frames, args.batch, args.hidden), device=args.device) / 64).to(dtype)
    above = torch.randn(currents.shape, device=args.device).to(dtype)
    for only_sum in (False, True):
        found, right = (currents.clone().requires_grad_() for _ in range(2))
        spikes = Iaf.apply(found, only_sum)
        expected = torch_step.neurons(torch.zeros(currents.shape[1:], device=args.device), right.float())[1]
        expected = expected.sum(0) if only_sum else expected.to(dtype)
        assert torch.equal(spikes, expected), f"{dtype}: spikes differ"
        g = above[0].float() if only_sum else above
        spikes.backward(g)
        expected.backward(g)
        off = ((found.grad - right.grad).abs().max() / right.grad.abs().max()).item()
        good = off < (1e-5 if dtype is torch.float32 else 0.02)
        what = f"triton, neurons, {dtype}, {'sum' if only_sum else 'spikes'}"
        print(f"{what}: gradient off by {off:.1e}: {'same' if good else 'WRONG'}")
        if not good:
            raise SystemExit(1)


def main():
    parser = step.options(__doc__, steps=30)
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
        if not args.check:
            parser.error("on the CPU there is only --check")
    import triton

    if args.check:
        oracle.small(args)
        for dtype in (torch.float32, torch.bfloat16):
            check_neurons(args, dtype)
        torch_step.check("triton, network", network, args)
        return
    torch.set_float32_matmul_precision("high")  # TF32
    x, y = torch_step.frames_on_device(args)
    forms = {
        name: functools.partial(torch_step.seconds, network, args, x.to(dtype), y, graph=graph)
        for name, (dtype, graph) in FORMS.items()
    }
    density = torch_step.spike_density(args, x)
    step.report_fastest(args, f"triton {triton.__version__}, torch {torch.__version__}", forms, spike_density=density)


if __name__ == "__main__":
    main()
