"""Records the loss and the gradients of PyTorch's CrossEntropyLoss(weight=...), for `--class-weights`.

    python torch_class_weights.py ../../tests/data/goldens

torch_class_weights.safetensors: one linear layer, whose output summed over time goes into the loss. Inputs, weights and
biases are dyadic, as in sinabs_iaf.py. Class 3 has no sample, class 0 has most of them. The float64 formula
sum(w[label] * loss) / sum(w[label]), written out in NumPy, must give the same before anything is written.
    x                  U8 (B, T, inputs)   counts
    targets            U8 (B)
    0.weight, 0.bias   I8   numerators: the value is this times 2^-6
    <w>/weights        F32 (classes)       <w> is balanced (scikit-learn's formula), or uneven
    <w>/output         F32 (B, classes)
    <w>/loss           F32 (1)
    <w>/grad.0.weight, <w>/grad.0.bias   F32
"""
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

UNIT = 2.0**-6
BATCH, STEPS, INPUTS, CLASSES = 12, 5, 9, 4


def spread(*shape):
    """Reproducible integers in 0..64."""
    return np.arange(np.prod(shape)).reshape(shape) * 7919 % 104729 % 65


def written_out(logits, targets, weights):
    """The weighted mean and its gradient by the logits, in float64."""
    exp = np.exp(logits - logits.max(1, keepdims=True))
    softmax = exp / exp.sum(1, keepdims=True)
    rows, w = np.arange(BATCH), weights[targets]
    onehot = np.zeros_like(logits)
    onehot[rows, targets] = 1
    return -(w * np.log(softmax[rows, targets])).sum() / w.sum(), (softmax - onehot) * w[:, None] / w.sum()


def main():
    x = spread(BATCH, STEPS, INPUTS) % 4 % 3
    targets = np.array([0, 0, 2, 0, 0, 1, 0, 2, 0, 0, 0, 1])
    weight, bias = spread(CLASSES, INPUTS) - 32, spread(CLASSES) - 32
    counts = np.bincount(targets, minlength=CLASSES)
    choices = {
        "balanced": BATCH / ((counts > 0).sum() * np.maximum(counts, 1)),
        "uneven": np.array([0.25, 3.0, 1.5, 7.0]),
    }
    tensors = {"x": x.astype(np.uint8), "targets": targets.astype(np.uint8)}
    tensors |= {"0.weight": weight.astype(np.int8), "0.bias": bias.astype(np.int8)}
    for name, weights in choices.items():
        layer = nn.Linear(INPUTS, CLASSES)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight * UNIT))
            layer.bias.copy_(torch.tensor(bias * UNIT))
        output = layer(torch.tensor(x, dtype=torch.float32)).sum(1)
        loss = nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32))(output, torch.tensor(targets))
        loss.backward()
        expected, by_logits = written_out(output.detach().numpy().astype(np.float64), targets, weights)
        assert abs(loss.item() - expected) < 1e-6 * expected
        grads = {"weight": by_logits.T @ x.sum(1), "bias": by_logits.sum(0) * STEPS}
        tensors[f"{name}/weights"] = weights.astype(np.float32)
        tensors[f"{name}/output"] = output.detach().numpy()
        tensors[f"{name}/loss"] = np.array([loss.item()], np.float32)
        for part, grad in grads.items():
            got = getattr(layer, part).grad.numpy()
            assert np.abs(got - grad).max() < 1e-5 * np.abs(grad).max(), part
            tensors[f"{name}/grad.0.{part}"] = got
    save_file(tensors, os.path.join(sys.argv[1], "torch_class_weights.safetensors"))


main()
