"""The tutorial way to offer detection over HTTP: a Flask view with a model of its own in every worker."""

from __future__ import annotations

import cv2
import numpy as np
from flask import Flask, Response, jsonify, request

from detector import load_detector

app = Flask(__name__)
detector = load_detector("centernet-mobilenetv3")


@app.post("/detect")
def detect() -> Response:
    image = cv2.imdecode(np.frombuffer(request.get_data(), np.uint8), cv2.IMREAD_COLOR)
    found = detector.detect(image)
    return jsonify(
        [
            {"label": detector.labels[int(class_id)], "score": float(score), "box": box.tolist()}
            for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True)
        ]
    )
