"""TensorFlow for tests: needed where CI=true, silent."""

from __future__ import annotations

import os
import warnings
from typing import Any

from tests.support.fast import leave_out_of_fast_runs
from tests.support.needs import need_module

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def tensorflow() -> Any:
    """Return the module `tensorflow`; without it skip the test, or fail it where CI=true."""
    leave_out_of_fast_runs("TensorFlow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tf = need_module("tensorflow")
    tf.get_logger().setLevel("ERROR")
    return tf
