"""A network's last layer on its own, where that is a convolution of single voxels to classes.

Networks for segmentation mostly end in one, from a few features of each voxel to all classes. With many classes its
output is by far the largest tensor of the network, and libraries hold it twice while they change its layout. When the
voxels are wanted piece by piece anyway, the layer can be run for each piece.

That the layer is the last is seen in the first run, and not guessed from names: the network must return the very tensor
that the layer made, untouched since, and the layer run piece by piece must give the same numbers, every bit of them.
torch convolves small images in another way than large ones, with another rounding; so pieces are given to oneDNN, which
large images go to, and in which a voxel's sum does not depend on how many others there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gpukit.ai.inference.lazy_logits import Late

__all__ = ["LastLayer", "first_of"]

#: Planes of the pieces that are compared with the whole.
_PLANES = 8


def first_of(output: Any) -> Any:
    """Return the full resolution of a network with deep supervision, which is the first."""
    return output[0] if isinstance(output, (list, tuple)) and output else output


class LastLayer:
    """Runs a module up to its last layer.

    Parameters
    ----------
    module : module
        In evaluation mode, on the CPU, that gives float32.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._layer: Any = None
        self._candidates = _pointwise(module)

    def run(self, batch: Any) -> Any:
        """What makes the module's output where that is known to be the same; None where the module is to be run."""
        if self._candidates:
            candidates, self._candidates = self._candidates, []
            return self._look(batch, candidates)
        return None if self._layer is None else self._features(batch)

    def _features(self, batch: Any) -> Any:
        """Run the module without the layer; None, from then on too, where the layer is not the last this time."""
        layer, inputs = self._layer, []

        def pass_on(features: Any) -> Any:
            inputs.append((features, features._version))
            return features

        layer.forward = pass_on
        try:
            with _counting():
                output = first_of(self._module(batch.clone()))
        finally:
            del layer.forward
        if len(inputs) == 1 and output is inputs[0][0] and output._version == inputs[0][1]:
            return Late(output, _pieces(layer), layer.out_channels)
        self._layer = None
        return None

    def _look(self, batch: Any, candidates: list[Any]) -> Any:
        """Run the module once and see whether one of the layers is the last.

        The output, or what makes it; None where the module cannot be run that way.
        """
        calls: list[tuple[Any, Any, int, Any, int]] = []

        def note(layer: Any, source: Any, output: Any) -> None:
            calls.append((layer, source[0], source[0]._version, output, output._version))

        handles = [layer.register_forward_hook(note) for layer in candidates]
        try:
            with _counting():
                output = first_of(self._module(batch.clone()))
                for layer, source, before, logits, after in calls:
                    untouched = source._version == before and logits._version == after
                    if logits is output and untouched and _same(layer, source, output):
                        self._layer = layer
                        return Late(source, _pieces(layer), layer.out_channels)
                return output
        except (RuntimeError, TypeError, AttributeError):
            return None
        finally:
            for handle in handles:
                handle.remove()
            calls.clear()


@contextmanager
def _counting() -> Iterator[None]:
    """No gradients, but tensors that count how often they are written to, which those of inference mode do not."""
    import torch

    with torch.inference_mode(False), torch.no_grad():
        yield


def _pointwise(module: Any) -> list[Any]:
    """Convolutions of single voxels that make more channels than they are given."""
    import torch

    if not isinstance(module, torch.nn.Module) or isinstance(module, torch.jit.ScriptModule):
        return []
    available: Callable[[], bool] = torch.backends.mkldnn.is_available
    if not available():
        return []
    return [
        layer
        for layer in module.modules()
        if type(layer) is torch.nn.Conv3d
        and (layer.kernel_size, layer.stride) == ((1, 1, 1), (1, 1, 1))
        and layer.padding in ((0, 0, 0), "valid", "same")
        and layer.groups == 1
        and layer.out_channels > layer.in_channels
        and not (layer._forward_hooks or layer._forward_pre_hooks)
    ]


def _pieces(layer: Any) -> Callable[[Any], Any]:
    """Return the layer, without gradients, for images of any size."""
    import torch

    def run(features: Any) -> Any:
        with torch.inference_mode():
            weight, bias = layer.weight, layer.bias
            return torch.mkldnn_convolution(features, weight, bias, [0, 0, 0], [1, 1, 1], [1, 1, 1], 1)

    return run


def _same(layer: Any, features: Any, output: Any) -> bool:
    """Return whether the layer, run piece by piece, makes the output."""
    import torch

    run = _pieces(layer)
    a, b = (n // 3 for n in output.shape[3:])
    odd = (slice(None), slice(None), slice(0, _PLANES), slice(a, None), slice(b, None))
    return torch.equal(run(features[odd]), output[odd]) and all(
        torch.equal(run(features[:, :, n : n + _PLANES]), output[:, :, n : n + _PLANES])
        for n in range(0, output.shape[2], _PLANES)
    )
