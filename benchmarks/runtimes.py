"""The same small U-Net through every runtime that is installed: CPU time of a window, and of loading.

    python benchmarks/runtimes.py            # table
    python benchmarks/runtimes.py --json     # the same as JSON

The network is written as a state dict, as ONNX and as OpenVINO's format with `gpukit.ai.registry.convert.convert`. Runs
of all runtimes alternate in one process with two threads; times are medians of CPU time (all threads), which holds on a
busy machine too. The first call, which converts or compiles, is counted as loading.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("GPUKIT_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # or a thread that waits on a busy machine is counted as working
SIZE = (64, 64, 64)
RUNS = 15


def models(folder: Path) -> dict[str, tuple[Path, str]]:
    """Name -> (model, runtime)."""
    import torch
    from monai.networks.nets import UNet
    from safetensors.torch import save_file

    from gpukit.ai.registry.convert import convert

    network: dict[str, Any] = {
        "spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [8, 16, 32, 64], "strides": [2, 2, 2],
        "num_res_units": 1,
    }  # fmt: skip
    torch.manual_seed(0)
    save_file(UNet(**network).eval().state_dict(), folder / "unet.safetensors")
    code = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
    labels = [{"value": n, "name": f"Part {n}", "category": code, "type": code} for n in (1, 2)]
    description = {
        "schema_version": 1, "name": "unet", "version": "1", "task": "segment", "format": "state-dict",
        "weights": "unet.safetensors", "network": {"_target_": "monai.networks.nets.UNet", **network},
        "input": {"channels": 1}, "inference": {"patch": list(SIZE)},
        "output": {"activation": "softmax", "labels": labels},
    }  # fmt: skip
    (folder / "unet.json").write_text(json.dumps(description))
    made = {"torch": (folder / "unet.safetensors", "torch")}
    if find_spec("onnxruntime"):
        convert(folder / "unet.safetensors", "onnx", folder / "graph.onnx")
        made["ONNX Runtime"] = (folder / "graph.onnx", "onnx-cpu")
    if find_spec("openvino"):
        made["OpenVINO, of torch"] = (folder / "unet.safetensors", "openvino")
        convert(folder / "unet.safetensors", "openvino", folder / "ir.xml")
        made["OpenVINO, converted"] = (folder / "ir.xml", "openvino")
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    import torch

    from gpukit.ai import find_model
    from gpukit.ai.runtimes import choose

    torch.set_num_threads(2)
    window = torch.rand(1, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        loaded, first, reference = {}, {}, None
        for name, (path, runtime) in models(Path(folder)).items():
            began = time.process_time()
            model = find_model(path)
            loaded[name] = choose(model, runtime).load(model, "cpu", "float32")
            found = loaded[name](window)
            first[name] = time.process_time() - began
            reference = found if reference is None else reference
            assert float((found - reference).abs().max()) < 1e-3 * float(reference.max() - reference.min()), name
        spent: dict[str, list[float]] = {name: [] for name in loaded}
        for _ in range(RUNS):
            for name, network in loaded.items():
                began = time.process_time()
                network(window)
                spent[name].append(time.process_time() - began)
    rows = [
        {
            "runtime": name, "first_call_s": round(first[name], 2), "window_s": round(statistics.median(times), 3),
            "of_torch": round(statistics.median(times) / statistics.median(spent["torch"]), 2),
        }
        for name, times in spent.items()
    ]  # fmt: skip
    if wanted.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'runtime':<22}{'load + first, CPU s':>20}{'window, CPU s':>15}{'of torch':>10}")
    for row in rows:
        print(f"{row['runtime']:<22}{row['first_call_s']:>20}{row['window_s']:>15}{row['of_torch']:>10}")


if __name__ == "__main__":
    main()
