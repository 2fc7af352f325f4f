"""The same forest in onnxruntime, one thread, pulled with boto3 when it starts."""

import os
import pickle

import boto3
import numpy as np
import onnxruntime
from mangum import Mangum
from numpy.typing import NDArray

from bench.contestants._api import create_app, surface

s3 = boto3.client("s3")


def get(key: str) -> bytes:
    return bytes(s3.get_object(Bucket=os.environ["MODEL_BUCKET"], Key=os.environ[key])["Body"].read())


options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(get("MODEL_KEY"), options, providers=["CPUExecutionProvider"])
saved = pickle.loads(get("SURFACE_KEY"))  # noqa: S301 # its own


def predict(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    (means,) = session.run(None, {"rows": rows.astype(np.float32)})
    return np.asarray(means)[:, 0]


forest = surface(saved), predict
handler = Mangum(create_app(lambda: forest), lifespan="off")
