"""The usual mend of the tutorial: scikit-learn in the image, the model pulled with boto3 and joblib when it starts."""

import io
import os

import boto3
import joblib
from mangum import Mangum

from bench.contestants._api import create_app, surface

body = boto3.client("s3").get_object(Bucket=os.environ["MODEL_BUCKET"], Key=os.environ["MODEL_KEY"])["Body"]
saved, model = joblib.load(io.BytesIO(body.read()))
forest = surface(saved), model.predict
handler = Mangum(create_app(lambda: forest), lifespan="off")
