"""The classes of COCO (https://cocodataset.org): 80 words, with ids from 1 to 90."""

from __future__ import annotations

_WORDS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire "
    "hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, "
    "zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports "
    "ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine "
    "glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot "
    "dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, "
    "vase, scissors, teddy bear, hair drier, toothbrush"
)
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}

COCO_80 = dict(enumerate(_WORDS.split(", ")))
"""Numbered from 0 without gaps, as YOLO does and the model that comes along."""

COCO_91 = dict(
    zip([number for number in range(1, 91) if number not in _UNUSED], COCO_80.values(), strict=True)
)
"""By the ids of the data set, as the TF Object Detection API does; ten of them stand for nothing, 0 for the
background."""
