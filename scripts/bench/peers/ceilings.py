"""The maximum speed of a GPU, measured through PyTorch, to compare the other figures with.

    python ceilings.py [--json]

copy_bytes_per_second      a copy of 4 GiB on the device, bytes read and written
bf16_matmul_per_second     floating-point operations of an 8192 x 8192 x 8192 product, on random data
tf32_matmul_per_second     the same in TF32
host_to_device_bytes_per_second   1 GiB from pinned memory
"""
import argparse
import json
import statistics
import subprocess

import torch


def seconds(work, times=10):
    """Median seconds between CUDA events around a call, after three warm-up calls."""
    for _ in range(3):
        work()
    measured = []
    for _ in range(times):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        measured.append(start.elapsed_time(end) / 1e3)
    return statistics.median(measured)


def matmul(dtype, n=8192):
    a, b = (torch.randn(n, n, device="cuda", dtype=dtype) for _ in range(2))
    return 2 * n**3 / seconds(lambda: torch.mm(a, b))


def copy(size=4 << 30):
    a = torch.zeros(size, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * size / seconds(lambda: b.copy_(a))


def upload(size=1 << 30):
    a = torch.zeros(size, dtype=torch.uint8).pin_memory()
    b = torch.empty_like(a, device="cuda")
    return size / seconds(lambda: b.copy_(a, non_blocking=True))


def smi(fields):
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as e:
        return f"nvidia-smi: {e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    card = torch.cuda.get_device_properties(0)
    report = {
        "nvidia_smi": smi("name,driver_version,memory.total,clocks.max.sm,power.limit"),
        "name": card.name,
        "multiprocessors": card.multi_processor_count,
        "memory_bytes": card.total_memory,
        "torch": torch.__version__,
        "copy_bytes_per_second": copy(),
        "bf16_matmul_per_second": matmul(torch.bfloat16),
        "tf32_matmul_per_second": matmul(torch.float32),
        "host_to_device_bytes_per_second": upload(),
    }
    print(json.dumps(report) if args.json else "\n".join(f"{key:32s} {value}" for key, value in report.items()))


if __name__ == "__main__":
    main()
