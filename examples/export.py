"""How does a trained torch network become one ONNX file that says nothing about the machine it came from?

The exporters of torch note, beside each node, the source lines that made it, with their paths.
`export_network` takes those notes out, keeps the weights inside the file and compares the file with the
network it came from.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

_NOTES = ("doc_string", "metadata_props")


def export_network(
    network: nn.Module, example: torch.Tensor, path: Path, *, any_batch: bool, dynamo: bool = True
) -> None:
    """Write `network` to `path` and check the file against it.

    Parameters
    ----------
    network : nn.Module
        From one float32 tensor to one float32 tensor.
    example : float32, shape (batch, ...)
        Inputs to trace the network with and to compare on; of more than one row if `any_batch`.
    path : Path
        Its folder is made where it does not exist.
    any_batch : bool
        The file takes any number of rows; otherwise exactly as many as `example` has.
    dynamo : bool
        True for the current exporter (torch.export), False for the old one (TorchScript).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    network.eval()
    torch.onnx.export(
        network,
        (example,),
        path,
        dynamo=dynamo,
        external_data=False,
        verbose=False,
        input_names=["input"],
        output_names=["output"],
        **(_batch_argument(dynamo) if any_batch else {}),
    )
    model = onnx.load(path)
    _remove_notes(model)
    onnx.save(model, path)
    _check_same_function(path, network, example)


def _batch_argument(dynamo: bool) -> dict:
    if dynamo:
        return {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    return {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}


def _remove_notes(message) -> None:
    """Clear the notes of a protobuf message and of every message inside it."""
    for field, value in message.ListFields():
        if field.name in _NOTES:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                _remove_notes(part)


def _check_same_function(path: Path, network: nn.Module, example: torch.Tensor) -> None:
    onnx.checker.check_model(path, full_check=True)
    (found,) = ReferenceEvaluator(str(path)).run(None, {"input": example.numpy()})
    with torch.no_grad():
        expected = network(example).numpy()
    # Two float32 evaluations of layers at most 64 wide: some hundred roundings of 2**-24.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
