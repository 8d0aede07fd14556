"""The networks that scripts/bench/networks and scripts/bench/gpu time: their files, and how long epochs of SSC's size take."""
from common import SSC_SAMPLES

BATCH, FRAMES = 128, 250
INPUTS, CLASSES = 140, 35
SSC_VALID = 9_981
NEURONS = {"adlif": '"adlif", a = [0.0, 1.0]', "iaf": '"iaf"', "lif": '"lif"', "silif": '"silif"', "c-silif": '"c-silif"'}


def network(cell, hidden, norm=True, recurrent=False, dropout=0.0, readout="leaky"):
    """The text of a network file."""
    layers = []
    for neurons in hidden:
        layers.append(f"{{ linear = {neurons}, bias = {str(not norm).lower()} }}")
        layers += ['{ norm = "batch" }'] * norm + ['{ recurrent = "dense" }'] * recurrent
        layers.append(f"{{ neuron = {NEURONS[cell]} }}")
        layers += [f"{{ dropout = {dropout} }}"] * (dropout > 0)
    layers.append(f'{{ linear = "classes", bias = {str(not norm).lower()} }}')
    layers += ['{ norm = "batch" }'] * norm
    layers.append(f'{{ readout = "{readout}" }}')
    return "layers = [\n" + "".join(f"  {layer},\n" for layer in layers) + "]\n"


def bench_options(file, gain):
    """Options of `tonic-train bench --random` for a step of the network in `file`."""
    sizes = {"--batch-size": BATCH, "--time-steps": FRAMES, "--channels": INPUTS, "--classes": CLASSES}
    return ["--network", file, "--gain", gain, *(word for pair in sizes.items() for word in pair)]


def ssc_seconds(step_seconds):
    """Seconds of 100 epochs on a set of SSC's size, each with an evaluation of the validation set. An evaluation is a forward
    pass: at most half of a step."""
    steps = -(-SSC_SAMPLES // BATCH) + 0.5 * -(-SSC_VALID // BATCH)
    return 100 * steps * step_seconds
