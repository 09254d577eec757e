"""A process of its own for TensorFlow: it converts a SavedModel, and then runs it on whatever it is given.

``python -m gpukit.ai.registry.tensorflow_worker FOLDER TARGET OPSET`` writes TARGET by tf2onnx and prints
``converted``. Each line on its standard input then names an ``.npy`` file with an input, and the network's output takes
the file's place; the answer is ``ran``. Whatever goes wrong is one line, ``failed`` and the reason.

TensorFlow takes all memory of a GPU and keeps what it has taken, and a process that holds it beside torch and ONNX
Runtime holds three thread pools. It is imported here and nowhere else.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(folder: str, target: str, opset: str) -> None:
    """Convert, then run until there is no further line."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the libraries print must not be taken for an answer

    def say(text: str) -> None:
        print(" ".join(text.split()), file=answer, flush=True)

    import numpy as np
    import tensorflow
    import tf2onnx.convert

    sys.argv = ["tf2onnx.convert", "--saved-model", folder, "--output", target, "--opset", opset]
    try:
        tf2onnx.convert.main()
    except (Exception, SystemExit) as error:  # whatever TensorFlow and tf2onnx raise
        return say(f"failed {str(error) or type(error).__name__}")
    say("converted")
    network = None
    for line in sys.stdin:
        file = line.rstrip("\n")
        try:
            if network is None:
                loaded = tensorflow.saved_model.load(folder)  # keeps the variables alive
                network = loaded.signatures["serving_default"]
                (name,) = network.structured_input_signature[1]
            output = network(**{name: tensorflow.constant(np.load(file))})
            np.save(file, next(iter(output.values())).numpy())
        except Exception as error:
            return say(f"failed {str(error) or type(error).__name__}")
        say("ran")
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
