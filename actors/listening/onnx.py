"""Small ONNX models on the CPU."""

from pathlib import Path
from typing import Any

import onnxruntime

from voicehelper.errors import ModelUnavailable

_ERRORS_ONLY = 3


def open_model(path: Path, threads: int = 1) -> Any:
    """A session for a model of a few megabytes, which any number of threads may run at once.

    Threads do not spin while they wait: a spinning one takes a core from the other sessions. Raises
    `ModelUnavailable`.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelUnavailable(f"{path.name} cannot be loaded") from error
