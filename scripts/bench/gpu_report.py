"""Prints the report of scripts/bench/gpu in Markdown: all tables, then the targets."""
import contextlib
import io
import statistics

from common import SSC_SAMPLES, Target, shown
from network_files import ssc_seconds

PRECISIONS = ("highest", "high", "medium")
COMPARED = {
    "Sinabs": ("sinabs", "sinabs, unbind"), "torch.compile": ("torch.compile",), "Triton": ("triton",), "JAX": ("jax",),
}
LEAST_NOISE = 1.0  # points: three seeds may lie close together by chance
SHOWN, SHORT = 4, 300  # checks that failed, and characters of a reason: the JSON has everything
WORDS = "highest: float32's exactness by three bf16 products; high: two; medium: plain bf16"


def at(tree, *keys):
    """The value under these nested keys; None if one is missing."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def over(a, b):
    return a / b if a is not None and b else None


def best_peer(report):
    """Name and seconds of the fastest peer's step."""
    steps = {name: peer["step_s"] for name, peer in report["peers"].items()}
    return min(steps.items(), key=lambda step: step[1], default=(None, None))


def network_peer(report, name, *forms):
    """Seconds of the fastest of these forms of the peers on a network, or of all forms. None if none was measured."""
    found = at(report, "network_peers", name) or {}
    steps = [peer["step_s"] for form, peer in found.items() if form in forms or not forms]
    return min(steps, default=None)


def network_figures(report, precision):
    """The figures of networks that have targets."""
    ours = lambda name: at(report, "networks", name, precision, "step_seconds")
    large, iaf = ours("silif 2x512"), ours("iaf 3x128")
    peer = lambda *forms: over(network_peer(report, "silif 2x512", *forms), large)
    return {
        "silif_512_authors": peer("torch authors"),
        "silif_512_unbound": peer("torch unbound"),
        "silif_512_fused": peer("torch fused"),
        "silif_512_jax": peer("jax layers", "jax unrolled"),
        "silif_512_best": peer(),
        "ssc_minutes": large and ssc_seconds(large) / 60,
        "silif_128_best": over(network_peer(report, "silif 2x128"), ours("silif 2x128")),
        "lif_over_iaf": over(ours("lif 3x128"), iaf),
        "lif_norm_over_iaf": over(ours("lif 3x128, norm"), iaf),
    }


def figures(report, precision):
    """The figures that have targets, by name, for one precision. A figure that was not measured is None."""
    loading = at(report, "loading", precision)
    device, stream = (at(loading, f"{cache}_train_batches_per_second") for cache in ("device", "stream"))
    epoch = at(loading, "device_epoch_seconds")
    memory = at(loading, "device_memory", "beyond_cache_bytes")
    return {
        "inflate": at(loading, "inflate", "batches_per_second"),
        "device": device,
        "epoch": epoch if epoch is not None else over(SSC_SAMPLES / 128, device),
        "stream": stream,
        "stream_over_device": over(stream, device),
        "promote": at(loading, "promote", "seconds"),
        "step": over(best_peer(report)[1], at(report, "step", precision, "step_seconds")),
        "memory": over(memory, 1e6),
    } | network_figures(report, precision)


ROWS = [
    Target("inflate", "inflate a batch to dense float32 from the device cache, batches/s", 100_000, 200_000),
    Target("device", "training, device cache, batches/s", 4_000, 10_000),
    Target("epoch", "an SSC epoch of it, s", 0.15, 0.06, True),
    Target("stream", "training, pinned streaming, 16 cores, batches/s", 2_500, float("inf")),
    Target("stream_over_device", "its rate over the device cache's (moonshot: within 10%)", 0, 0.9),
    Target("promote", "promoting all of SSC to the device from warm shards, s", 3, 1, True),
    Target("step", "training step against the best peer on the same card in the same run, times", 10, 50),
    Target("memory", "device memory beyond the cache, CUDA context left out, MB", 500, 200, True),
    Target("silif_512_authors", "SiLIF 2x512, PyTorch as its authors write it over ours", 25, 40),
    Target("silif_512_unbound", "... PyTorch with the input unbound over ours", 8, 12),
    Target("silif_512_fused", "... PyTorch with a cell in Triton, as a CUDA graph, over ours", 4, 5),
    Target("silif_512_jax", "... JAX jit over ours", 2.5, 4),
    Target("silif_512_best", "... the best of all forms over ours (no target)", 0, float("inf")),
    Target("ssc_minutes", "100 epochs of it at SSC's size, computed from the step, minutes", 1, 0.6, True),
    Target("silif_128_best", "SiLIF 2x128, the best peer over ours", 4, 8),
    Target("lif_over_iaf", "LIF 3x128 over IAF, ours", 1.4, 1.1, True),
    Target("lif_norm_over_iaf", "LIF 3x128 with batch norm over IAF, ours", 2, 1.5, True),
]


def unchecked(report):
    """Why no figure counts: the kernels were not compared with the CPU's, or differ from them. None if they agree."""
    check = report["parts"].get("check", {"status": "did not run", "why": "left out"})
    return None if check["status"] == "done" else f"tonic-train check {check['status']}: {check['why']}"


def verdict(report, target, value):
    if value is None:
        return None
    if unchecked(report):
        return "unchecked"
    return "moonshot" if target.met(value, target.moonshot) else "ok" if target.met(value, target.at_least) else "short"


def targets(report):
    """For the JSON: each figure and whether it meets its target, by target and precision."""
    found = {}
    for precision in PRECISIONS:
        values = figures(report, precision)
        for target in ROWS:
            value = values[target.name]
            found.setdefault(target.name, {})[precision] = {"value": value, "verdict": verdict(report, target, value)}
    return found


def table(head, rows):
    """Prints a table in Markdown. The first column is left-aligned."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    first, *others = widths
    print("| " + " | ".join([head[0].ljust(first), *(c.rjust(w) for c, w in zip(head[1:], others))]) + " |")
    print("|" + "|".join(["-" * (first + 2), *("-" * (w + 1) + ":" for w in others)]) + "|")
    for row in rows:
        print("| " + " | ".join([row[0].ljust(first), *(c.rjust(w) for c, w in zip(row[1:], others))]) + " |")
    print()


def number(value, scale=1.0, unit=""):
    return "-" if value is None else f"{shown(value * scale)}{unit}"


def spread(stem):
    return stem, f"{stem}_min", f"{stem}_max"


def ranged(tree, keys, scale=1.0):
    """A median with its minimum and maximum, as text."""
    median, least, most = (at(tree, key) for key in keys)
    words = number(median, scale)
    return words if None in (least, most) else f"{words} ({number(least, scale)} to {number(most, scale)})"


def bar(value):
    return "" if value in (0, float("inf")) else f"{value:,.6g}"


def print_machine(report):
    for key, value in (report["facts"] | report["machine"]).items():
        print(f"{key:34} {f'{value / 1e12:.3f} x 10^12' if isinstance(value, float) else value}")
    ours = at(report, "check", "device") or {}
    print("tonic-train sees: " + (", ".join(f"{k} {v}" for k, v in ours.items()) or "nothing"))
    checks = at(report, "check", "checks") or []
    wrong = [check for check in checks if not check["passed"]]
    good = len(checks) - len(wrong)
    print(f"kernels against the CPU's: {good} of {len(checks)} checks passed" if checks else "kernels were not checked")
    for check in wrong[:SHOWN]:
        print(f"  WRONG {check['name']}: {check.get('detail', '')[:SHORT]}")
    if wrong[SHOWN:]:
        print(f"  and {len(wrong) - SHOWN} more")
    for tool, found in report["sanitizer"].items():
        print(f"{tool}: {found['summary'] or 'no summary'}")


def print_steps(report):
    rows = []
    for precision, step in report["step"].items():
        spikes = number(step.get("spike_density"), 100, "%")
        rows.append([f"ours, {precision}", "", ranged(step, spread("step_seconds"), 1e3), spikes, *[""] * len(PRECISIONS)])
    ours = [at(report, "step", precision, "step_seconds") for precision in PRECISIONS]
    for name, peer in report["peers"].items():
        ms = ranged(peer, ("step_s", "step_min_s", "step_max_s"), 1e3)
        times = [number(over(peer["step_s"], seconds), 1, "x") for seconds in ours]
        rows.append([f"{name} ({peer['peer']})", peer.get("way", ""), ms, number(peer.get("spike_density"), 100, "%"), *times])
    if rows:
        table(["training step", "form", "ms (least to most)", "spikes", *(f"over {p}" for p in PRECISIONS)], rows)
    for name, words in report["peer_checks"].items():
        print(f"{name} compared with the oracle in NumPy: {words}")
    for name, peer in report["peers"].items():
        ways = ", ".join(f"{way} {seconds * 1e3:.3f}" for way, seconds in peer.get("ways", {}).items())
        lost = "; ".join(f"{way}: {why}" for way, why in peer.get("failed", {}).items())
        print(f"{name}, ms of each form: {ways}{f'. Failed: {lost}' if lost else ''}\n" * bool(ways or lost), end="")
    tiny = report["reference_engine"]
    if tiny:
        print(f"reference engine, a tiny step: {number(tiny['step_seconds'], 1e3)} ms on {tiny['device']}")


def print_networks(report):
    rows = []
    for name, by_precision in report["networks"].items():
        for precision, step in by_precision.items():
            spikes = number(step.get("spike_density"), 100, "%")
            memory = number(step.get("device_memory_bytes"), 1e-6)
            rows.append([f"{name}, ours, {precision}", ranged(step, spread("step_seconds"), 1e3), spikes, memory])
        for form, peer in (at(report, "network_peers", name) or {}).items():
            spikes = "/".join(number(rate, 100) for rate in peer["rates"]) + "%"
            rows.append([f"{name}, {form}", ranged(peer, ("step_s", "step_min_s", "step_max_s"), 1e3), spikes, ""])
    if rows:
        table(["a network's training step", "ms (least to most)", "spikes", "MB"], rows)
    if report["network_check"]:
        print(f"compared with a plain loop in PyTorch: {report['network_check']}")


def print_loading(report):
    several = {
        "inflate, us a batch": (("inflate",), ("microseconds_median", "microseconds_min", "microseconds_max")),
        "an epoch, device cache, s": ((), spread("device_epoch_seconds")),
        "an epoch, stream, s": ((), spread("stream_epoch_seconds")),
        "promoting, s": (("promote",), spread("seconds")),
    }
    rows = [[f"{text} (least to most)", *(ranged(at(report, "loading", p, *where), keys) for p in PRECISIONS)]
            for text, (where, keys) in several.items()]
    single = {
        "promoted, bytes a sample": ("promote", "bytes_per_sample"),
        "promoted, bytes": ("promote", "bytes"),
        "training, host cache, batches/s": ("host_train_batches_per_second",),
        "device memory, cache, bytes": ("device_memory", "cache_bytes"),
    }
    rows += [[text, *(number(at(report, "loading", p, *keys)) for p in PRECISIONS)] for text, keys in single.items()]
    if report["loading"]:
        table(["a set of SSC's size", *PRECISIONS], rows)
    for cache, fit in report["full"].items():
        epochs = ", ".join(f"{epoch['seconds']:.3f}" for epoch in fit["epochs"])
        name = f"fit at SSC's size, --cache {cache}, {report['precision']}"
        print(f"{name}: epochs of {epochs} s, {number(fit.get('seconds'))} s in all")


def print_accuracy(report):
    groups = {}
    for name, fit in report["accuracy"].items():
        if name not in ("again", "stream"):
            groups.setdefault(fit["precision"] or "cpu", []).append(fit)
    deviation = lambda values: statistics.stdev(values) if len(values) > 1 else float("nan")
    rows = []
    for name, fits in groups.items():
        right = [100 * fit["test_accuracy"] for fit in fits]
        title, loss = name if name == "cpu" else f"cuda, {name}", statistics.mean(fit["test_loss"] for fit in fits)
        seeds = " ".join(f"{r:.1f}" for r in right)
        rows.append([title, seeds, f"{statistics.mean(right):.2f}", f"{deviation(right):.2f}", f"{loss:.4f}"])
    if rows:
        table(["test accuracy, %", "seeds", "mean", "deviation", "loss"], rows)
    if "cpu" in groups:
        cpu = [100 * fit["test_accuracy"] for fit in groups.pop("cpu")]
        for name, fits in groups.items():
            cuda = [100 * fit["test_accuracy"] for fit in fits]
            apart = statistics.mean(cuda) - statistics.mean(cpu)
            if min(len(cpu), len(cuda)) > 1:
                noise = 2 * (deviation(cpu) ** 2 / len(cpu) + deviation(cuda) ** 2 / len(cuda)) ** 0.5
                noise = max(noise, LEAST_NOISE)
                within = "within" if abs(apart) <= noise else "BEYOND"
                which = f"{noise:.2f} (two standard errors, or {LEAST_NOISE})"
                print(f"cuda, {name} - cpu: {apart:+.2f} points, {within} the noise of {which}")
    words = {"twice": "the same run twice", "stream": "the same run from the stream"}
    for key, same in report["same"].items():
        print(f"{words[key]}: model.safetensors {'bit-identical' if same else 'DIFFER'}")
    both = report["eval"]
    if both:
        each = [f"{device} {100 * e['accuracy']:.2f}%, loss {e['loss']:.6f}" for device, e in both.items()]
        print(f"one model evaluated: {', '.join(each)}")


def print_sweep(report):
    rows = []
    for name, row in report["sweep"].items():
        ours, triton = row.get("step_seconds"), row.get("triton_seconds")
        scales = {"dense_per_second": (1e-12, ""), "spike_density": (100, "%"), "device_memory_bytes": (1e-6, "")}
        cells = [ranged(row, spread("step_seconds"), 1e3), *(number(row.get(key), *scale) for key, scale in scales.items())]
        rows.append([name, *cells, number(triton, 1e3), number(over(triton, ours), 1, "x")])
    if rows:
        print(f"Away from batch 128, hidden 128, T = 250, 12%; {report['precision']}. `dense` is 10^12 operations a second")
        print("of the dense products alone, were nothing skipped: a cliff is a fall in this column.\n")
        table(["", "ms (least to most)", "dense", "spikes", "MB", "triton ms", "triton/"], rows)


def print_lost(report):
    """Prints the parts that failed or were skipped, grouped by reason."""
    lost = {}
    for name, part in report["parts"].items():
        if part["status"] != "done":
            lost.setdefault((part["status"], part["why"]), []).append(name)
    for (status, why), names in lost.items():
        print(f"{status.upper()}: {'; '.join(names)}: {why[:SHORT]}")
    done = len(report["parts"]) - sum(map(len, lost.values()))
    print(f"{done} of {len(report['parts'])} parts done, {sum(part['seconds'] for part in report['parts'].values()):.0f} s")


def print_targets(report):
    def cell(target, precision):
        value = figures(report, precision)[target.name]
        word = verdict(report, target, value)
        word = "" if target.at_least == 0 and word == "ok" else word
        return "not measured" if value is None else f"{shown(value)} {word}".strip()

    table(["", "at least", "moonshot", *PRECISIONS],
          [[t.text, bar(t.at_least), bar(t.moonshot), *(cell(t, p) for p in PRECISIONS)] for t in ROWS])
    if unchecked(report):
        print(f"NO FIGURE ABOVE COUNTS, the kernels may be wrong: {unchecked(report)[:SHORT]}")
    facts = report["facts"]
    names = (facts.get("gpu"), at(report, "machine", "name"), at(report, "check", "device", "name"))
    card = next(filter(None, names), "machine without a GPU")
    if "H200" not in card:
        print(f"TARGETS ARE FOR ONE H200; this is a {card}.")
    context = [number(at(report, "loading", p, "device_memory", "context_bytes"), 1e-6) for p in PRECISIONS]
    print(f"Left out of device memory beyond the cache: the CUDA context, {', '.join(context)} MB.")
    print(f"Matmul precision of ours: {WORDS}.")
    name, seconds = best_peer(report)
    print(f"Best peer: {name}, {seconds * 1e3:.3f} ms a step." if name else "No peer was measured.")
    missing = [peer for peer, names in COMPARED.items() if not any(n in report["peers"] for n in names)]
    if missing:
        print(f"NOT MEASURED among the peers: {', '.join(missing)}; the ratio is to the best of the rest.")
    digest = str(facts.get("tonic_train_sha256"))[:12]
    print(f"{card}, driver {facts.get('driver')}, {facts.get('date')}, commit {facts.get('commit')}, tonic-train {digest}")


def in_words(report):
    """Prints all tables. The targets come last, since the start of the output may be cut off."""
    words = []
    sections = (print_machine, print_steps, print_networks, print_loading, print_accuracy, print_sweep, print_lost, print_targets)
    for section in sections:
        with contextlib.redirect_stdout(io.StringIO()) as text:
            try:
                section(report)
            except Exception as e:  # such as a figure of an unexpected type: the JSON has it
                print(f"{section.__name__}: {type(e).__name__}: {e}")
        words.append(text.getvalue().strip("\n"))
    return "\n\n".join(filter(None, words)) + "\n"
