"""Torch tensors: Apple silicon through MPS, the CPU by name only, and CUDA as a neighbour of CuPy.

Nothing here imports torch to list devices: that takes two seconds, and most machines choose another backend. Torch is
imported when one of its devices is asked for, or on Apple silicon, where only torch can tell whether MPS works.
"""

from __future__ import annotations

import platform
import sys
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.device import DeviceInfo, Kernel
from gpukit.errors import DeviceError
from gpukit.extras import install_command
from gpukit_backends.cuda.driver import driver


def _install(family: str) -> str:
    """What installs torch for a family of devices."""
    if family == "mps":
        return install_command("mps")
    return install_command("nn") + (" with the CUDA build of torch" if family == "torch-cuda" else "")


class TorchBackend:
    """Serves ``mps``, ``torch-cpu`` and ``torch-cuda``.

    Only ``mps`` is ever chosen by ``auto``. ``torch-cpu`` runs the same code without an accelerator. ``torch-cuda:N``
    is where a neural network wants its input; a CuPy array gets there without a copy.
    """

    name = "torch"
    array_module = "torch"
    device_names = ("mps", "torch-cpu", "torch-cuda")
    priority: int | None = 50

    def devices(self) -> tuple[DeviceInfo, ...]:
        """MPS, the CPU and each CUDA device, with what is missing for those that cannot be used."""
        return (self._mps(), self._cpu(), *self._cuda())

    def from_host(self, array: Any, device: str) -> Any:
        """Copy a NumPy array into a tensor on `device`.

        MPS has no float64 and no unsigned integers above 8 bits: there float64 becomes float32, and unsigned integers
        become the next wider signed type. Elsewhere the type stays.
        """
        torch = _torch(device)
        host = np.asarray(array)
        host = np.array(host, dtype=host.dtype.newbyteorder("="), order="C")  # torch knows no foreign byte order
        if device == "mps":
            host = host.astype(_ON_MPS.get(host.dtype.name, host.dtype), copy=False)
        return torch.from_numpy(host).to(_torch_name(device))

    def to_host(self, array: Any) -> Any:
        """Copy a tensor to NumPy; bfloat16, which NumPy lacks, becomes float32."""
        tensor = array.detach().cpu().resolve_conj().resolve_neg()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        return tensor.numpy()

    def device_of(self, array: Any) -> str:
        """``mps``, ``torch-cpu`` or ``torch-cuda:N``."""
        kind = array.device.type
        if kind == "cuda":
            return f"torch-cuda:{array.device.index or 0}"
        return "mps" if kind == "mps" else f"torch-{kind}"

    def share(self, array: Any, device: str) -> Any | None:
        """The same memory as a tensor, or a tensor's memory as an array of NumPy or CuPy; None where it must be copied.

        NumPy and torch share on the CPU, CuPy and torch on one CUDA device (through DLPack). Read-only NumPy arrays are
        copied, because torch would write through.
        """
        module = type(array).__module__.partition(".")[0]
        try:
            if device == "torch-cpu" and isinstance(array, np.ndarray):
                return _torch(device).from_numpy(array) if array.flags.writeable else None
            if device.startswith("torch-cuda:") and module == "cupy":
                same = int(array.device.id) == int(device.partition(":")[2])
                return _torch(device).from_dlpack(array) if same else None
            if module != "torch":
                return None
            if device == "cpu" and array.device.type == "cpu":
                return array.detach().numpy()
            if device.startswith("cuda:") and array.device.type == "cuda":
                cupy = import_module("cupy")
                same = (array.device.index or 0) == int(device.partition(":")[2])
                return cupy.from_dlpack(array.detach()) if same else None
        except (TypeError, ValueError, RuntimeError, BufferError):
            return None  # negative strides, foreign byte order, bfloat16: these cannot be shared
        return None

    def kernel(self, operation: str) -> Kernel | None:
        """Return the kernel from the module of the operation's name beside this one, if there is one."""
        module = f"{__package__}.{operation}"
        if find_spec(module) is None:
            return None
        kernel = getattr(import_module(module), operation, None)
        return kernel if isinstance(kernel, Kernel) else None

    def _info(self, name: str, *, reason: str = "", install: str = "", **facts: Any) -> DeviceInfo:
        return DeviceInfo(
            name=name,
            backend=self.name,
            usable=not reason,
            reason=reason,
            install=install,
            library=_library(),
            kernels="torch operations",
            automatic=name == "mps",
            **facts,
        )

    def _mps(self) -> DeviceInfo:
        install = _install("mps")
        here = f"{platform.system()} {platform.machine()}"
        if (platform.system(), platform.machine()) != ("Darwin", "arm64"):
            elsewhere = "on a Mac with Apple silicon, install gpukit with the extra mps; here use cpu or torch-cpu"
            return self._info("mps", reason=f"MPS needs a Mac with Apple silicon, this is {here}", install=elsewhere)
        if find_spec("torch") is None:
            return self._info("mps", reason="torch is not installed", install=install)
        try:
            torch = import_module("torch")
            if not torch.backends.mps.is_available():
                built = torch.backends.mps.is_built()
                reason = "macOS offers no Metal device" if built else "this torch was built without MPS"
                return self._info("mps", reason=reason, install="macOS 14 or later" if built else install)
            total = int(torch.mps.recommended_max_memory())
            free = total - int(torch.mps.driver_allocated_memory())
        except Exception as error:  # a torch that cannot be imported fails in many ways, none of them may escape
            return self._info("mps", reason=f"torch does not work: {_line(error)}", install=install)
        return self._info("mps", description="Apple silicon GPU", memory_total=total, memory_free=free)

    def _cpu(self) -> DeviceInfo:
        if find_spec("torch") is None:
            return self._info("torch-cpu", reason="torch is not installed", install=_install("torch-cpu"))
        return self._info("torch-cpu", description=platform.processor() or platform.machine())

    def _cuda(self) -> tuple[DeviceInfo, ...]:
        install = _install("torch-cuda")
        spec = find_spec("torch")
        if spec is None or spec.origin is None:
            return (self._info("torch-cuda", reason="torch is not installed", install=install),)
        libraries = Path(spec.origin).parent / "lib"
        if not any((libraries / name).exists() for name in ("libtorch_cuda.so", "torch_cuda.dll")):
            return (self._info("torch-cuda", reason="this torch was built without CUDA", install=install),)
        nvidia = driver()
        if not nvidia.hardware:
            hint = "install the NVIDIA driver, or make a GPU visible to this process (CUDA_VISIBLE_DEVICES)"
            return (self._info("torch-cuda", reason=nvidia.why, install=hint),)
        return tuple(
            self._info(f"torch-cuda:{index}", description=hardware.name, memory_total=hardware.memory)
            for index, hardware in enumerate(nvidia.hardware)
        )


#: Types that MPS lacks, and what stands for them there.
_ON_MPS = {"float64": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def _torch(device: str) -> Any:
    """Torch itself, or why it cannot be used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("torch")
    except Exception as error:  # ImportError when absent; a broken build raises OSError and others
        family = device.partition(":")[0]
        fix = f"to use it: {_install(family)}"
        raise DeviceError(f"device {device!r} cannot be used: torch does not work: {_line(error)}", fix=fix) from error


def _torch_name(device: str) -> str:
    return device if device == "mps" else device.removeprefix("torch-")


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _library() -> str:
    if number := getattr(sys.modules.get("torch"), "__version__", ""):  # none yet while another thread imports it
        return f"torch {number}"
    try:
        return f"torch {version('torch')}"
    except PackageNotFoundError:
        return ""
