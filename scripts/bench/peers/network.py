"""The reference network with Sinabs' own layers, as a user would write it from its tutorials; it needs no Tonic."""
import sinabs.layers as sl
import torch
from sinabs.layers import functional
from torch import nn

from step import CHANNELS, HIDDEN


def network(classes, hidden=HIDDEN, gain=1.0):
    """Three hidden layers of integrate-and-fire neurons and a linear readout, all with Sinabs' defaults.

    The hidden layers' initial weights are multiplied by `gain`.
    """
    model = nn.Sequential(
        nn.Linear(CHANNELS, hidden), sl.IAF(),
        nn.Linear(hidden, hidden), sl.IAF(),
        nn.Linear(hidden, hidden), sl.IAF(),
        nn.Linear(hidden, classes),
    )
    with torch.no_grad():
        for layer in (model[0], model[2], model[4]):
            layer.weight *= gain
    return model


class Steps:
    """A layer's input, split into its steps once. It is indexed like the whole tensor."""

    def __init__(self, x):
        self.shape, self.steps = x.shape, x.unbind(1)

    def __getitem__(self, index):
        return self.steps[index[1]]


def unbind():
    """Makes all of Sinabs' layers split their input into its steps only once: the same bits, several times faster."""
    forward = functional.lif_forward
    functional.lif_forward = lambda input_data, **rest: forward(input_data=Steps(input_data), **rest)
