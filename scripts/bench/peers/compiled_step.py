"""How long a training step takes as a PyTorch loop over time that torch.compile has compiled.

    python compiled_step.py [--device cuda] [--form-limit S] [--steps 30] [--batch N] [--frames T] [--hidden N] [--json]

The same network, neuron and batch as sinabs_step.py, the frames on the device already. All 250 steps in one piece take
minutes to compile, so pieces of the loop are compiled and called one after another. FORMS are the variants:

layers N    a layer's product for all steps at once (TF32, or in bfloat16), then N steps of its neurons per piece
steps N     N steps of all layers per piece, as a loop over time is written first

plain       as compiled; graph: the whole step, Adam included, captured into one CUDA graph by hand
overhead    mode="reduce-overhead", torch's own CUDA graphs

The fastest variant counts. Steps that compile are not counted, and a form that takes longer than --form-limit is left out.
"""
import functools

import torch

import oracle
import step
import torch_step
from torch_step import at_rest, current_of, neurons, read_out, read_out_sum

# The first variants are timed first, in case time runs out.
FORMS = (
    ("layers", 25, "graph", torch.float32), ("layers", 25, "graph", torch.bfloat16), ("steps", 10, "graph", torch.float32),
    ("layers", 25, "plain", torch.float32), ("steps", 10, "overhead", torch.float32), ("steps", 1, "graph", torch.float32),
    ("layers", 25, "overhead", torch.float32), ("layers", 125, "graph", torch.float32),
)
ON_CPU = (("layers", 25, "plain", torch.float32), ("steps", 10, "plain", torch.float32))


def by_layers(compiled, chunk, params, x):
    for layer in params[:-1]:
        currents = current_of(x, layer)
        u, spikes = at_rest(currents), []
        for piece in currents.split(chunk):
            u, s = compiled(u, piece)
            spikes.append(s)
        x = torch.cat(spikes)
    return read_out(params, x)


def tick(potentials, total, x, hidden):
    """Some steps of all hidden layers: potentials, spikes of the last layer so far, frames (T, B, C)."""
    for frame in x.unbind(0):
        after, s = [], frame
        for u, layer in zip(potentials, hidden):
            u, s = neurons(u, current_of(s, layer)[None])
            after.append(u)
            s = s[0]
        potentials, total = after, total + s
    return potentials, total


def by_steps(compiled, chunk, params, x):
    like = x.new_empty(1, x.shape[1], len(params[0][1]))
    potentials, total = [at_rest(like) for _ in params[:-1]], at_rest(like)
    for piece in x.split(chunk):
        potentials, total = compiled(potentials, total, piece, params[:-1])
    return read_out_sum(params, total, len(x))


def network(kind, chunk, how="plain"):
    """Compiles one variant of the forward pass. Returns it, and a function to call before each step."""
    loop, piece = (by_layers, neurons) if kind == "layers" else (by_steps, tick)
    mode, before = None, lambda: None
    if how == "overhead":
        mode, before = "reduce-overhead", torch.compiler.cudagraph_mark_step_begin
    compiled = torch.compile(piece, fullgraph=True, dynamic=False, mode=mode)
    return functools.partial(loop, compiled, chunk), before


def measure(args, x, y, kind, chunk, how, dtype):
    torch._dynamo.reset()
    forward, before = network(kind, chunk, how)
    return torch_step.seconds(forward, args, x.to(dtype), y, graph=how == "graph", before=before)


def main():
    parser = step.options(__doc__, steps=30)
    args = parser.parse_args()
    if args.check:
        for kind, chunk in (("layers", 25), ("layers", 50), ("steps", 10), ("steps", 1)):
            torch_step.check(f"compiled, {kind} {chunk}", network(kind, chunk)[0], oracle.small(args))
        return
    torch.set_float32_matmul_precision("high")  # TF32
    x, y = torch_step.frames_on_device(args)
    forms = {}
    for form in FORMS if args.device == "cuda" else ON_CPU:
        name = f"{form[0]} {form[1]} {form[2]} {'bf16' if form[3] is torch.bfloat16 else 'tf32'}"
        forms[name] = functools.partial(measure, args, x, y, *form)
    density = torch_step.spike_density(args, x)
    step.report_fastest(args, f"torch.compile, torch {torch.__version__}", forms, spike_density=density)


if __name__ == "__main__":
    main()
