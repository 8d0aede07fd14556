"""Records what PyTorch's optimisers and schedulers do.

    python torch_optimisers.py ../../tests/data/goldens

torch_optimisers.safetensors: 40 updates of two tensors, `w` (with weight decay) and `b` (without), with gradients that
`gradient` computes. Case 0 has gradients of very different sizes; a clipped case divides by norms above and below the
limit. Each case is a key of the metadata, with its settings as JSON.
    start/w F32 (300), start/b F32 (20)   values before the first update
    <case>/w, <case>/b                    values after the last update

torch_schedules.json: learning rate and momentum before each batch ("curves"), and the learning rate after each epoch's
score ("plateaus"). Settings have the names of config.toml.
"""
import json
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import optim
from torch.optim import lr_scheduler as schedulers

UPDATES = 40
SIZES = {"w": 300, "b": 20}


def gradient(step, name):
    """Gradients that Rust computes too: multiples of 2^-12, a tenth of them 0, scaled by powers of two."""
    index = np.arange(SIZES[name])
    whole = (index * 7919 + step * 104729 + len(name) * 31) % 2003 - 1001
    scale = 2.0 ** -((index + step) % 8 + 5)
    return np.where(index % 10 == step % 10, 0, whole * scale).astype(np.float32)


def start(name):
    return ((np.arange(SIZES[name]) * 7907 % 257 - 128) / 64).astype(np.float32)


CASES = {
    "adam": dict(rule="adam", lr=1e-3),
    "adam_decay": dict(rule="adam", lr=1e-2, weight_decay=0.1),
    "adamw": dict(rule="adamw", lr=1e-2, weight_decay=0.01),
    "adamw_clip": dict(rule="adamw", lr=1e-2, weight_decay=0.05, clip_norm=120.0),
    "sgd": dict(rule="sgd", lr=1e-2),
    "sgd_momentum": dict(rule="sgd", lr=1e-3, momentum=0.9, weight_decay=0.01),
    "sgd_nesterov": dict(rule="sgd", lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.01, clip_norm=118.0),
}


def train(rule, lr, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=None):
    w, b = (torch.tensor(start(name), requires_grad=True) for name in "wb")
    groups = [{"params": [w], "weight_decay": weight_decay}, {"params": [b], "weight_decay": 0.0}]
    if rule == "sgd":
        optimiser = optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
    else:
        optimiser = {"adam": optim.Adam, "adamw": optim.AdamW}[rule](groups, lr=lr)
    norms = []
    for step in range(UPDATES):
        for tensor, name in ((w, "w"), (b, "b")):
            tensor.grad = torch.tensor(gradient(step, name))
        if clip_norm is not None:
            norms.append(torch.nn.utils.clip_grad_norm_([w, b], clip_norm).item())
        optimiser.step()
    if clip_norm is not None:
        assert min(norms) < clip_norm < max(norms), (min(norms), max(norms))
    return w.detach().numpy(), b.detach().numpy()


def curves():
    adam = lambda lr: optim.Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    sgd = lambda lr: optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    warm = dict(warmup_epochs=2)

    def cosine(opt, batches, end, min_lr, warmup):
        return schedulers.CosineAnnealingLR(opt, T_max=(end - warmup) * batches, eta_min=min_lr)

    def warmed(opt, batches, epochs, after, start=1 / 3):
        first = schedulers.LinearLR(opt, start_factor=start, total_iters=epochs * batches)
        return schedulers.SequentialLR(opt, [first, after], milestones=[epochs * batches])

    def each_epoch(make):
        """A scheduler that is stepped once an epoch."""
        return lambda opt, batches: (make(opt), batches)

    cases = [
        ({"curve": {"name": "constant"}}, adam, 1e-3, 3, 4, lambda o, n: (schedulers.ConstantLR(o, factor=1.0), 1)),
        ({"curve": {"name": "constant"}, **warm}, adam, 1e-3, 5, 4,
         lambda o, n: (schedulers.LinearLR(o, total_iters=2 * n), 1)),
        ({"curve": {"name": "constant"}, "warmup_epochs": 3, "warmup_start": 0.01}, sgd, 1e-2, 7, 4,
         lambda o, n: (schedulers.LinearLR(o, start_factor=0.01, total_iters=3 * n), 1)),
        ({"curve": {"name": "cosine", "min_lr": 0.0}, "end": 5}, adam, 1e-3, 7, 5, lambda o, n: (cosine(o, n, 5, 0, 0), 1)),
        ({"curve": {"name": "cosine", "min_lr": 1e-5}, "end": 8, **warm}, adam, 1e-2, 6, 8,
         lambda o, n: (warmed(o, n, 2, cosine(o, n, 8, 1e-5, 2)), 1)),
        ({"curve": {"name": "one-cycle"}, "end": 6}, adam, 1e-2, 7, 6,
         lambda o, n: (schedulers.OneCycleLR(o, max_lr=1e-2, total_steps=6 * n), 1)),
        ({"curve": {"name": "one-cycle"}, "end": 3}, sgd, 1e-1, 4, 3,
         lambda o, n: (schedulers.OneCycleLR(o, max_lr=1e-1, total_steps=3 * n), 1)),
        ({"curve": {"name": "step", "epochs": 2, "factor": 0.1}}, adam, 1e-2, 3, 7,
         each_epoch(lambda o: schedulers.StepLR(o, step_size=2))),
        ({"curve": {"name": "step", "epochs": 3, "factor": 0.5}}, adam, 1e-2, 3, 10,
         each_epoch(lambda o: schedulers.StepLR(o, step_size=3, gamma=0.5))),
    ]
    for settings, make, lr, batches, epochs, schedule in cases:
        opt = make(lr)
        scheduler, every = schedule(opt, batches)
        rates = []
        for n in range(epochs * batches):
            group = opt.param_groups[0]
            rates.append([group["lr"], group["betas"][0] if "betas" in group else group["momentum"]])
            opt.step()
            if (n + 1) % every == 0 and n + 1 < epochs * batches:
                scheduler.step()
        yield {"schedule": settings, "lr": lr, "momentum": 0.9, "batches": batches, "rates": rates}


def plateaus():
    accuracy = [0.1, 0.2, 0.2, 0.20001, 0.3, 0.29, 0.28, 0.3, 0.30002, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.4, 0.4]
    loss = [3.0, 2.0, 1.9999, 1.99, 2.1, 2.2, 2.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.4999, 1.5, 1.0, 1.1, 1.1, 1.1]
    for select, mode, scores in (("valid-accuracy", "max", accuracy), ("valid-loss", "min", loss)):
        for patience, factor, min_lr in ((1, 0.7, 0.0), (0, 0.1, 1e-6), (2, 0.5, 4e-3)):
            opt = optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
            scheduler = schedulers.ReduceLROnPlateau(opt, mode=mode, patience=patience, factor=factor, min_lr=min_lr)
            lrs = []
            for score in scores:
                scheduler.step(score)
                lrs.append(opt.param_groups[0]["lr"])
            curve = {"name": "plateau", "patience": patience, "factor": factor, "min_lr": min_lr}
            yield {"curve": curve, "select": select, "lr": 1e-2, "scores": scores, "lrs": lrs}


def main():
    out = sys.argv[1]
    tensors = {f"start/{name}": start(name) for name in SIZES}
    for case, settings in CASES.items():
        tensors[f"{case}/w"], tensors[f"{case}/b"] = train(**settings)
    save_file(tensors, os.path.join(out, "torch_optimisers.safetensors"), metadata={"cases": json.dumps(CASES)})
    with open(os.path.join(out, "torch_schedules.json"), "w") as file:
        json.dump({"curves": list(curves()), "plateaus": list(plateaus())}, file, indent=None)
        file.write("\n")


main()
