"""Detectors of others that can be downloaded by name: where they are, what their authors say of them.

docs/models.md says where each address and figure was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from detector.model_file import HeadName

_TF2_ZOO = "https://download.tensorflow.org/models/object_detection/tf2"
_CORAL = "https://raw.githubusercontent.com/google-coral/test_data/master"
_KAGGLE = "https://www.kaggle.com/api/v1/models/tensorflow"

_TF2_ZOO_PAGE = (
    "https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/tf2_detection_zoo.md"
)
_CORAL_PAGE = "https://coral.ai/models/object-detection"
_KAGGLE_PAGE = "https://www.kaggle.com/models/tensorflow"


@dataclass(frozen=True, slots=True)
class Download:
    """Where a model comes from.

    member: last name of the file or folder in a `.tar.gz` that is the model; None: the address is the model.
    sha256: of the model file itself, where its users agree on it; None: taken from the first download.
    """

    url: str
    member: Literal["saved_model", "1.tflite"] | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A detector of the 80 classes of COCO that can be downloaded.

    side: width and height of its input in pixels. accuracy: AP on COCO val2017 as its authors state it, 0..1.
    source: the page that states it.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    side: int
    accuracy: float | None
    head: HeadName
    source: str
    download: Download
    licence: str = "Apache-2.0"


_TF2_MODELS = (
    ("ssd-mobilenet-v2-320", "ssd_mobilenet_v2_320x320_coco17_tpu-8", 320, 20.2),
    ("ssd-mobilenet-v1-fpn-640", "ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8", 640, 29.1),
    ("ssd-mobilenet-v2-fpnlite-320", "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8", 320, 22.2),
    ("ssd-mobilenet-v2-fpnlite-640", "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8", 640, 28.2),
    ("ssd-resnet50-fpn-640", "ssd_resnet50_v1_fpn_640x640_coco17_tpu-8", 640, 34.3),
    ("ssd-resnet50-fpn-1024", "ssd_resnet50_v1_fpn_1024x1024_coco17_tpu-8", 1024, 38.3),
    ("ssd-resnet101-fpn-640", "ssd_resnet101_v1_fpn_640x640_coco17_tpu-8", 640, 35.6),
    ("ssd-resnet101-fpn-1024", "ssd_resnet101_v1_fpn_1024x1024_coco17_tpu-8", 1024, 39.5),
    ("ssd-resnet152-fpn-640", "ssd_resnet152_v1_fpn_640x640_coco17_tpu-8", 640, 35.4),
    ("ssd-resnet152-fpn-1024", "ssd_resnet152_v1_fpn_1024x1024_coco17_tpu-8", 1024, 39.6),
    ("efficientdet-d0", "efficientdet_d0_coco17_tpu-32", 512, 33.6),
    ("efficientdet-d1", "efficientdet_d1_coco17_tpu-32", 640, 38.4),
    ("efficientdet-d2", "efficientdet_d2_coco17_tpu-32", 768, 41.8),
    ("efficientdet-d3", "efficientdet_d3_coco17_tpu-32", 896, 45.4),
    ("efficientdet-d4", "efficientdet_d4_coco17_tpu-32", 1024, 48.5),
    ("efficientdet-d5", "efficientdet_d5_coco17_tpu-32", 1280, 49.7),
    ("efficientdet-d6", "efficientdet_d6_coco17_tpu-32", 1280, 50.5),
    ("efficientdet-d7", "efficientdet_d7_coco17_tpu-32", 1536, 51.2),
    ("centernet-resnet50-v1-512", "centernet_resnet50_v1_fpn_512x512_coco17_tpu-8", 512, 31.2),
    ("centernet-resnet50-v2-512", "centernet_resnet50_v2_512x512_coco17_tpu-8", 512, 29.5),
    ("centernet-resnet101-512", "centernet_resnet101_v1_fpn_512x512_coco17_tpu-8", 512, 34.2),
    ("centernet-hourglass104-512", "centernet_hg104_512x512_coco17_tpu-8", 512, 41.9),
    ("centernet-hourglass104-1024", "centernet_hg104_1024x1024_coco17_tpu-32", 1024, 44.5),
    ("faster-rcnn-resnet50-640", "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8", 640, 29.3),
    ("faster-rcnn-resnet50-1024", "faster_rcnn_resnet50_v1_1024x1024_coco17_tpu-8", 1024, 31.0),
    ("faster-rcnn-resnet101-640", "faster_rcnn_resnet101_v1_640x640_coco17_tpu-8", 640, 31.8),
    ("faster-rcnn-resnet101-1024", "faster_rcnn_resnet101_v1_1024x1024_coco17_tpu-8", 1024, 37.1),
    ("faster-rcnn-resnet152-640", "faster_rcnn_resnet152_v1_640x640_coco17_tpu-8", 640, 32.4),
    ("faster-rcnn-resnet152-1024", "faster_rcnn_resnet152_v1_1024x1024_coco17_tpu-8", 1024, 37.6),
    (
        "faster-rcnn-inception-resnet-v2-640",
        "faster_rcnn_inception_resnet_v2_640x640_coco17_tpu-8",
        640,
        37.7,
    ),
    (
        "faster-rcnn-inception-resnet-v2-1024",
        "faster_rcnn_inception_resnet_v2_1024x1024_coco17_tpu-8",
        1024,
        38.7,
    ),
)
"""Name, archive, side of the input, AP in percent."""

_CORAL_MODELS = (
    ("coral-ssd-mobilenet-v2", "ssd_mobilenet_v2_coco_quant_postprocess", 300, 25.6),
    ("coral-ssd-mobilenet-v2-tf2", "tf2_ssd_mobilenet_v2_coco17_ptq", 300, 22.4),
    ("coral-ssdlite-mobiledet", "ssdlite_mobiledet_coco_qat_postprocess", 320, 32.9),
    ("coral-efficientdet-lite0", "efficientdet_lite0_320_ptq", 320, 30.4),
    ("coral-efficientdet-lite1", "efficientdet_lite1_384_ptq", 384, 34.3),
    ("coral-efficientdet-lite2", "efficientdet_lite2_448_ptq", 448, 36.0),
    ("coral-efficientdet-lite3", "efficientdet_lite3_512_ptq", 512, 39.4),
    ("coral-efficientdet-lite3x", "efficientdet_lite3x_640_ptq", 640, 43.9),
)
"""Name, file, side of the input, AP in percent."""

_KAGGLE_MODELS = (
    ("efficientdet-lite0", "efficientdet/tfLite/lite0-detection-metadata/1", 320, 25.69),
    ("efficientdet-lite1", "efficientdet/tfLite/lite1-detection-metadata/1", 384, 30.55),
    ("efficientdet-lite2", "efficientdet/tfLite/lite2-detection-metadata/1", 448, 33.97),
    ("efficientdet-lite4", "efficientdet/tfLite/lite4-detection-metadata/1", 640, 41.96),
    ("ssd-mobilenet-v1-lite", "ssd-mobilenet-v1/tfLite/metadata/1", 300, None),
)
"""Name, handle, side of the input, AP in percent."""

_SHA256 = {
    "efficientdet-lite0": "2e04c53bfeac0ac2a30c057c7e2a777594ce39baaac35a92f74fb1e8c4fc4e0b",
    "efficientdet-lite2": "6fd32c84ab1eb0f7e7f3a7a20a20d7df1530daa8378728f7c79571096286bd52",
}


def _entries() -> Iterator[ZooModel]:
    for name, file, side, ap in _CORAL_MODELS:
        kind = "Coral, quantised .tflite for CPUs"
        download = Download(f"{_CORAL}/{file}.tflite")
        yield ZooModel(
            name, (file,), kind, side, round(ap / 100, 4), "tflite-detection", _CORAL_PAGE, download
        )
    for name, handle, side, percent in _KAGGLE_MODELS:
        kind = "TensorFlow at Kaggle (was TF Hub), quantised .tflite"
        download = Download(f"{_KAGGLE}/{handle}/download", "1.tflite", _SHA256.get(name))
        accuracy = None if percent is None else round(percent / 100, 4)
        yield ZooModel(
            name, (), kind, side, accuracy, "tflite-detection", f"{_KAGGLE_PAGE}/{handle}", download
        )
    for name, archive, side, ap in _TF2_MODELS:
        kind = "TF2 Detection Zoo, SavedModel"
        day = "20200713" if "_hg104_" in archive else "20200711"
        download = Download(f"{_TF2_ZOO}/{day}/{archive}.tar.gz", "saved_model")
        yield ZooModel(name, (archive,), kind, side, round(ap / 100, 4), "tf-od", _TF2_ZOO_PAGE, download)


ZOO = tuple(_entries())
