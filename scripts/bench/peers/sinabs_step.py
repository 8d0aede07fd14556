"""How long one training step of the reference network takes with Sinabs: forward, loss, backward, Adam.

    python sinabs_step.py [--device cuda] [--unbind] [--steps 5] [--threads 2] [--batch N] [--frames T] [--json]

A batch of 128 random recordings, 250 frames of 100 channels, 12% of the cells occupied, on the device before the clock
starts. The first step is not counted. On a GPU products may use TF32. Without --unbind it is Sinabs as shipped, which
spends most of its backward pass in filling tensors (network.py).
"""
import statistics

import numpy as np
import sinabs
import torch
from torch.nn.functional import cross_entropy

import oracle
import step
from network import network, unbind


def train_step(model, optimizer, x, y):
    """One step as a user of Sinabs would write it: frames (B, T, C), labels."""
    sinabs.reset_states(model)
    optimizer.zero_grad()
    loss = cross_entropy(model(x).sum(1), y)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def spike_density(model, x):
    """Share of (neuron, step) with a spike, the mean of the hidden layers."""
    sinabs.reset_states(model)
    shares = []
    for layer in list(model)[:-1]:
        x = layer(x)
        if isinstance(layer, sinabs.layers.IAF):
            shares.append((x > 0).float().mean().item())
    return statistics.mean(shares)


def check(args):
    oracle.small(args)
    model, values = network(step.CLASSES, args.hidden).to(args.device), oracle.weights(args)
    parameters = [p for layer in list(model)[::2] for p in (layer.weight, layer.bias)]
    with torch.no_grad():
        for parameter, value in zip(parameters, (v for pair in values for v in pair)):
            parameter.copy_(torch.from_numpy(value))
    x, y = step.random_frames(args)
    frames, labels = (torch.from_numpy(a).to(args.device) for a in (x, y))
    sinabs.reset_states(model)
    loss = cross_entropy(model(frames).sum(1), labels)
    loss.backward()
    gradients = [np.asarray(p.grad.cpu()) for p in parameters]
    oracle.compare(f"sinabs{', unbind' * args.unbind}", loss.item(), gradients, values, x, y)


def main():
    parser = step.options(__doc__, steps=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--unbind", action="store_true", help="cut layers' inputs into steps once, which Sinabs does not")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.unbind:
        unbind()
    if args.check:
        check(args)
        return
    if args.device == "cuda":
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    model = network(step.CLASSES, args.hidden, args.gain).to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=step.LEARNING_RATE)
    x, y = (torch.from_numpy(a).to(args.device) for a in step.random_frames(args))
    density = spike_density(model, x[: step.SPIKE_SAMPLES])
    clock = step.cuda_seconds if args.device == "cuda" else step.seconds
    times = clock(lambda: train_step(model, optimizer, x, y), args)
    peer = f"sinabs {sinabs.__version__}, torch {torch.__version__}"
    step.print_report(args, peer, times, threads=args.threads, unbind=args.unbind, spike_density=density)


if __name__ == "__main__":
    main()
