"""`gpukit devices`: what can be used, and what the others lack."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_json_has_every_device_with_reason_and_remedy(run: Run) -> None:
    done = run("devices", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    found = {info["name"]: info for info in document["devices"]}
    assert {"numpy", "cupy", "torch"} <= {info["backend"] for info in document["devices"]}
    assert found["cpu"]["usable"]
    assert found["cpu"]["library"].startswith("numpy ")
    assert found["cpu"]["kernels"]
    assert found["cpu"]["memory_total"] > 2**28
    assert found[document["auto"]]["usable"]
    for info in document["devices"]:
        assert info["usable"] or (info["reason"] and info["install"]), info["name"]


def test_table_names_every_device(run: Run) -> None:
    names = [info["name"] for info in json.loads(run("devices", "--json").stdout)["devices"]]
    lines = run("devices").stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names
    assert "(auto)" in "".join(lines)
