"""``--profile`` of the commands that look at pictures: the stages of the work, adding up to no more than the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slices import write_slices

from gpukit_cli.main import main

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")


class Box(torch.nn.Module):
    """One box, whatever the picture."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zero = x.mean() * 0.0
        box = torch.tensor([[2.0, 3.0, 9.0, 8.0]]) + zero
        return box, torch.tensor([0.9]) + zero, torch.ones(1, dtype=torch.int64)


class Twice(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2.0 * x


class Means(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), -x.mean((2, 3))], 1)


TASKS: dict[str, tuple[torch.nn.Module, dict[str, Any]]] = {
    "detect": (Box(), {"classes": ["Nodule"]}),
    "enhance": (Twice(), {}),
    "classify": (Means(), {"activation": "softmax", "classes": ["a", "b"]}),
}
#: Stages that each of these has, done by the command itself or by a thread beside it.
COMMON = {"reading", "decoding", "loading the network", "preprocessing", "inference"}
OWN = {"detect": {"postprocessing", "writing"}, "enhance": {"postprocessing", "writing"}, "classify": set()}


@pytest.mark.parametrize("task", TASKS)
def test_the_stages_of_pictures(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, output = TASKS[task]
    torch.jit.script(network).save(str(tmp_path / "net.ts"))
    content = {
        "schema_version": 1, "name": "net", "version": "1", "task": task, "format": "torchscript", "weights": "net.ts",
        "input": {"dimensions": 2, "channels": 1, "values": "window"}, "output": output,
    }  # fmt: skip
    (tmp_path / "net.json").write_text(json.dumps(content))
    values = np.random.default_rng(0).integers(0, 900, (5, 24, 20)).astype(np.uint16)
    series = write_slices(tmp_path / "series", values, np.eye(4))
    words = ["ai", task, str(series), "--model", str(tmp_path / "net.json"), "--device", "cpu", "--profile", "--json"]
    words += {"detect": ["--create-sr", str(tmp_path / "sr.dcm")], "enhance": ["--output", str(tmp_path / "out")]}.get(
        task, []
    )
    assert main(words) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)["profile"]
    assert COMMON | OWN[task] <= set(told["seconds"]) | set(told["seconds_beside"])
    assert all(seconds >= 0 for seconds in told["seconds"].values())
    assert 0 < sum(told["seconds"].values()) <= told["total_seconds"]
    table = [line.rsplit(maxsplit=2) for line in printed.err.splitlines() if line.endswith("%")]
    shown = {name.strip(): float(seconds) for name, seconds, _ in table}
    # what is shown adds up: three digits after the point, so half a millisecond a line
    assert sum(shown.values()) - shown["all"] == pytest.approx(shown["all"], abs=0.0005 * len(shown))
    assert ("at the same time: decoding" in printed.err) == (task == "classify")


def test_without_it_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.jit.script(Means()).save(str(tmp_path / "net.ts"))
    (tmp_path / "net.json").write_text(
        json.dumps({
            "schema_version": 1, "name": "net", "version": "1", "task": "classify", "format": "torchscript",
            "weights": "net.ts", "input": {"dimensions": 2, "channels": 1}, "output": TASKS["classify"][1],
        })
    )  # fmt: skip
    series = write_slices(tmp_path / "series", np.ones((2, 8, 8), np.uint16), np.eye(4))
    assert main(["ai", "classify", str(series), "--model", str(tmp_path / "net.json"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "profile" not in json.loads(printed.out) and printed.err == ""
