"""How long one training step of the reference network takes with Sinabs on the CPU: forward, loss, backward, Adam.

    python sinabs_step.py [--steps 5] [--threads 2] [--batch N] [--frames T] [--hidden N] [--json]

A batch of 128 random recordings, 250 frames of 100 channels, 12% of the cells occupied. The first step is not counted.
"""
import statistics

import sinabs
import torch
from torch.nn.functional import cross_entropy

import reference
import step


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


def main():
    parser = step.options(__doc__, steps=5)
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = reference.network(step.CLASSES, args.hidden, args.gain)
    optimizer = torch.optim.Adam(model.parameters(), lr=step.LEARNING_RATE)
    x, y = map(torch.from_numpy, step.random_frames(args))
    density = spike_density(model, x[: step.SPIKE_SAMPLES])
    times = step.seconds(lambda: train_step(model, optimizer, x, y), args)
    peer = f"sinabs {sinabs.__version__}, torch {torch.__version__}"
    step.print_report(args, peer, times, threads=args.threads, spike_density=density)


if __name__ == "__main__":
    main()
