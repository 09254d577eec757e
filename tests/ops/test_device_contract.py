"""Which device a name means, what a user reads when it cannot be used, and plug-ins of others: with real processes."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gpukit as gk
from gpukit.device import Kernel, backends, device_of, resolve
from gpukit.dispatch import Operation, explain, operation
from gpukit.errors import DeviceError, GpukitError
from gpukit.ops.components import components
from gpukit.ops.statistics import statistics

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")


def usable(name: str) -> bool:
    return any(d.usable for d in gk.devices() if d.name.partition(":")[0] == name)


def run(code: str, *, path: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter; `path` comes first on its module path."""
    environment = {k: v for k, v in os.environ.items() if k != "GPUKIT_DEVICE"} | variables
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), environment.get("PYTHONPATH", "")]))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUKIT_DEVICE", raising=False)


def test_auto_takes_an_accelerator_or_numpy_but_never_torch_on_the_cpu():
    backend, name = resolve("auto")
    if usable("cuda"):
        assert (backend.name, name) == ("cupy", "cuda:0")
    elif usable("mps"):
        assert (backend.name, name) == ("torch", "mps")
    else:
        assert (backend.name, name) == ("numpy", "cpu")
    assert resolve(None) == resolve("auto")


def test_auto_with_nothing_but_torch_on_the_cpu_takes_nothing(monkeypatch):
    only = tuple(b for b in backends() if b.name == "torch")
    if usable("mps") or not usable("torch-cpu"):
        pytest.skip("torch has an accelerator here, or is not there at all")
    monkeypatch.setattr("gpukit.device.backends", lambda: only)
    with pytest.raises(DeviceError, match="no usable device"):
        resolve("auto")
    assert resolve("torch-cpu")[1] == "torch-cpu"


@pytest.mark.parametrize("name", ["cpu", " CPU ", "Cpu"])
def test_names_are_read_kindly(name):
    assert resolve(name)[1] == "cpu"


@needs_torch
def test_torch_on_the_cpu_by_name():
    assert resolve("torch-cpu")[1] == "torch-cpu"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "torch-cuda:0"])
def test_an_unusable_device_says_why_and_what_to_install(name):
    bare = name.partition(":")[0]
    if usable(bare):
        pytest.skip(f"{bare} works on this machine")
    info = next(d for d in gk.devices() if d.name.partition(":")[0] == bare)
    assert info.reason and info.install
    with pytest.raises(DeviceError) as caught:
        resolve(name)
    text = str(caught.value)
    assert name in text and info.reason in text and info.install in text and "\n" not in text
    assert isinstance(caught.value, (GpukitError, RuntimeError))
    with pytest.raises(DeviceError):
        gk.Volume(array=np.zeros((1, 1, 1)), grid=gk.Grid((1, 1, 1), np.eye(4))).to(name)


@pytest.mark.skipif(platform.system() == "Darwin", reason="on a Mac MPS may be there")
def test_mps_elsewhere_names_this_machine():
    with pytest.raises(DeviceError, match=rf"Apple silicon, this is {platform.system()} {platform.machine()}"):
        resolve("mps")
    with pytest.raises(DeviceError, match="the extra mps"):
        resolve("mps")


@pytest.mark.parametrize("name", ["gpu", "cudax", "torch", "cpu,cuda"])
def test_an_unknown_device_lists_the_known_ones(name):
    with pytest.raises(DeviceError, match="unknown device") as caught:
        resolve(name)
    for known in ("auto", "cpu", "cuda", "mps", "torch-cpu"):
        assert known in str(caught.value)


def test_a_number_that_is_not_there():
    with pytest.raises(DeviceError, match=r"no device 'cpu:7' \(there are: cpu\)"):
        resolve("cpu:7")


def test_the_environment_variable_counts_where_the_caller_named_none(monkeypatch):
    monkeypatch.setenv("GPUKIT_DEVICE", "nowhere")
    with pytest.raises(DeviceError, match="GPUKIT_DEVICE"):
        resolve(None)
    assert resolve("cpu")[1] == "cpu"
    monkeypatch.setenv("GPUKIT_DEVICE", "cpu")
    assert resolve(None)[1] == "cpu"


def test_every_unusable_device_is_told_with_a_reason():
    found = gk.devices()
    assert {"cpu", "mps"} <= {d.name for d in found}
    for info in found:
        assert info.usable == (not info.reason)
        assert info.usable or info.install
        assert info.library or not info.usable
        assert info.kernels or not info.usable


def test_listing_devices_imports_no_heavy_library():
    done = run(
        "import sys, gpukit; gpukit.devices(); gpukit.device.resolve('cpu'); gpukit.device.resolve('auto');"
        "print(sorted({'torch', 'scipy', 'monai'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr
    if not (usable("mps") or usable("cuda")):  # where they work, the library itself must be asked
        assert done.stdout.strip() == "[]"


def test_a_torch_that_is_broken_is_an_error_with_a_hint_and_breaks_nothing_else(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch.so: cannot open shared object file')\n")
    done = run(
        "import gpukit as gk, numpy as np\n"
        "from gpukit.device import move, resolve\n"
        "print([d.name for d in gk.devices() if d.name == 'torch-cpu'], resolve('cpu')[1])\n"
        "try: move(np.zeros(3), 'torch-cpu')\n"
        "except gk.GpukitError as error: print(error)\n",
        path=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "['torch-cpu'] cpu" in done.stdout
    assert "libtorch.so: cannot open" in done.stdout and "pip install" in done.stdout


# --- the array in hand decides ---------------------------------------------------------------------------------------


def test_device_of_tells_subclasses_and_foreign_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "m", dtype="i2", mode="w+", shape=(2, 2))
    assert device_of(mapped) == "cpu"
    assert device_of([1, 2]) == "unknown"
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    assert device_of(strict.asarray([1])) == "unknown"


@needs_torch
def test_a_subclass_of_a_tensor_is_torchs():
    import torch

    class Meta(torch.Tensor):
        pass

    assert device_of(torch.zeros(2).as_subclass(Meta)) == "torch-cpu"
    assert device_of(torch.nn.Parameter(torch.zeros(2))) == "torch-cpu"


@needs_torch
def test_explain_names_the_function_the_device_and_the_reason():
    import torch

    mask = np.ones((2, 3, 4), bool)
    choice = explain(components, torch.from_numpy(mask))
    assert choice.device == "torch-cpu"
    assert choice.function == "gpukit_backends.mps.components.components"
    assert "kernel of torch" in choice.why
    declined = explain(statistics, torch.zeros((2, 2), dtype=torch.complex64))
    assert declined.function == "gpukit.ops.statistics.statistics" and "complex" in declined.why
    volume = gk.Volume(array=torch.zeros((2, 3, 4)), grid=gk.Grid((2, 3, 4), np.eye(4)))
    assert gk.explain(statistics, volume).device == "torch-cpu"
    assert str(choice).startswith("components on torch-cpu: ")


def test_explain_for_an_array_of_no_backend():
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    choice = explain(statistics, strict.asarray([1.0, 2.0]))
    assert choice.function == "gpukit.ops.statistics.statistics"
    assert "no backend" in choice.why


class _Numbers:
    """A backend for a kernel with other parameter names than its operation's."""

    name, array_module, device_names, priority = "numbers", "numpy", ("numbers",), None

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def kernel(self, name: str) -> Kernel:
        return self._kernel


def test_a_kernel_must_have_the_parameters_of_its_operation(monkeypatch):
    @operation(tolerance=0.0)
    def doubled(data, *, times=2):
        return data * times

    assert isinstance(doubled, Operation)
    wrong = _Numbers(Kernel(lambda data, *, factor=2: data * factor))
    monkeypatch.setattr("gpukit.dispatch.backend_of", lambda array: wrong)
    with pytest.raises(TypeError, match=r"\['data', 'factor'\].*\['data', 'times'\]"):
        doubled(3)


def test_every_kernel_that_ships_has_the_parameters_of_its_operation():
    import importlib
    import pkgutil

    import gpukit.ops

    operations = {}
    for module in pkgutil.iter_modules(gpukit.ops.__path__):
        loaded = importlib.import_module(f"gpukit.ops.{module.name}")
        operations |= {o.name: o for o in vars(loaded).values() if isinstance(o, Operation)}
    assert {"resample", "statistics", "histogram", "components", "dilate", "distance"} <= set(operations)
    for backend in backends():
        if backend.name == "torch" and not HAS_TORCH:
            continue
        for one in operations.values():
            one._kernel(backend)  # raises TypeError where the names differ; CuPy's are found without CuPy


# --- plug-ins of others ----------------------------------------------------------------------------------------------

PLUGIN = '''
import numpy as np
from gpukit.device import DeviceInfo
from gpukit.dispatch import kernel

class Tagged(np.ndarray):
    """An array type of another library: its module is this one."""

@kernel()
def statistics(data, mask=None, *, labels=None, padding=None):
    return "the plug-in ran"

class Backend:
    name = "other"
    array_module = "other_toolkit"
    device_names = ("other",)
    priority = 7
    def devices(self):
        return (DeviceInfo(name="other:0", backend="other", usable=True, library="other 1.0", kernels="own"),)
    def from_host(self, array, device):
        return np.asarray(array).view(Tagged)
    def to_host(self, array):
        return np.asarray(array)
    def device_of(self, array):
        return "other:0"
    def kernel(self, operation):
        return statistics if operation == "statistics" else None

class Lacking:
    name = "lacking"

class Raising(Backend):
    name = "raising"
    device_names = ("raising",)
    array_module = "raising_toolkit"
    def devices(self):
        raise RuntimeError("the driver went away")
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A distribution of somebody else's, installed as pip would leave it: a module and its metadata."""
    (tmp_path / "other_toolkit.py").write_text(PLUGIN)
    info = tmp_path / "other_toolkit-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-toolkit\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gpukit.backends]\n"
        "other = other_toolkit:Backend\n"
        "absent = no_such_module:Backend\n"
        "lacking = other_toolkit:Lacking\n"
        "raising = other_toolkit:Raising\n"
    )
    return tmp_path


def test_a_third_party_backend_through_an_entry_point(plugin):
    done = run(
        "import numpy as np, gpukit as gk\n"
        "from gpukit.device import resolve\n"
        "from gpukit.ops.statistics import statistics\n"
        "from gpukit.ops.components import components\n"
        "v = gk.Volume(array=np.ones((2, 3, 4)), grid=gk.Grid((2, 3, 4), np.eye(4)))\n"
        "with gk.count_transfers() as seen: there = v.to('other')\n"
        "print(there.device, resolve('other:0')[0].name, resolve('auto')[1])\n"
        "print(statistics(there.array), '|', statistics(v.array).n, '|', gk.explain(components, there).why)\n"
        "with gk.count_transfers() as back: home = there.to('cpu')\n"
        "print(type(home.array).__module__, [(t.source, t.target, t.nbytes) for t in (*seen, *back)])\n",
        path=plugin,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    best = next(d.name for d in gk.devices() if d.usable and d.automatic)
    assert lines[0] == f"other:0 other {'other:0' if best == 'cpu' else best}"  # its priority 7 beats NumPy's 0
    assert lines[1] == "the plug-in ran | 24 | other has no kernel for it: reference"
    assert lines[2] == "numpy [('cpu', 'other:0', 192), ('other:0', 'cpu', 192)]"


def test_a_broken_plug_in_only_warns(plugin):
    done = run("import gpukit as gk; print([d.name for d in gk.devices() if d.name == 'cpu'])", path=plugin)
    assert done.returncode == 0
    assert done.stdout.strip() == "['cpu']"
    assert "RuntimeWarning" in done.stderr
    assert "'absent' failed to load: No module named 'no_such_module'" in done.stderr
    assert "'lacking' failed to load" in done.stderr and "Backend protocol" in done.stderr
    assert "'raising' cannot list its devices: the driver went away" in done.stderr
