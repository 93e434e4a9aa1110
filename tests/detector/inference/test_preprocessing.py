from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.backends import ImageInput, ModelMetadata
from detector.detections import BGRImage
from detector.errors import ModelError
from detector.inference.preprocessing import Preprocessor, preprocessing_for
from detector.model_file import ModelFile, PerChannel, Preprocessing, SizeWH

FLOAT = np.dtype(np.float32)
PIXEL = (10, 20, 30)  # blue, green, red


def plain(wh: SizeWH, colour: tuple[int, int, int] = PIXEL) -> BGRImage:
    return np.full((wh[1], wh[0], 3), colour, np.uint8)


def prepare(
    image_input: ImageInput, preprocessing: Preprocessing, *images: BGRImage
) -> tuple[NDArray[Any], list[SizeWH]]:
    array, placements = Preprocessor(image_input, preprocessing, image_input.size_wh).prepare(images)
    return array, [placement.placed_wh for placement in placements]


def test_letterboxed_image_lies_in_the_middle_with_a_border_that_no_earlier_image_stains() -> None:
    preprocessor = Preprocessor(ImageInput((512, 512), FLOAT), Preprocessing(), (512, 512))
    preprocessor.prepare([plain((512, 512), (255, 255, 255))])
    array, _ = preprocessor.prepare([plain((1280, 720))])
    assert (array.shape, array.dtype) == ((1, 512, 512, 3), np.float32)
    np.testing.assert_array_equal(array[0, 112:400], np.broadcast_to([30, 20, 10], (288, 512, 3)))
    assert np.unique(array[0, :112]).tolist() == np.unique(array[0, 400:]).tolist() == [127]


@pytest.mark.parametrize("view", ["reversed", "strided", "read-only", "fortran"])
@pytest.mark.parametrize("channels_first", [False, True])
def test_any_memory_layout_is_taken(view: str, channels_first: bool) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 160, 3), np.uint8)
    given = {
        "reversed": image[::-1, :, ::-1],
        "strided": image[::2, ::3],
        "read-only": image.copy(),
        "fortran": np.asfortranarray(image),
    }[view]
    given.setflags(write=False)
    for size_wh in ((64, 64), (given.shape[1], given.shape[0])):
        image_input = ImageInput(size_wh, np.dtype(np.int8), channels_first, scale=1 / 128)
        expected, _ = prepare(image_input, Preprocessing(std=(255.0,) * 3), np.ascontiguousarray(given))
        found, _ = prepare(image_input, Preprocessing(std=(255.0,) * 3), given)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("resize", "centred", "placed_wh", "first_row", "last_row"),
    [
        ("letterbox", True, (8, 4), 127, 127),
        ("letterbox", False, (8, 4), 30, 127),
        ("stretch", True, (8, 8), 30, 30),
    ],
)
def test_image_is_placed_as_its_model_was_trained(
    resize: Any, centred: bool, placed_wh: SizeWH, first_row: int, last_row: int
) -> None:
    preprocessing = Preprocessing(resize=resize, centred=centred)
    array, placed = prepare(ImageInput((8, 8), FLOAT), preprocessing, plain((40, 20)))
    assert placed == [placed_wh]
    assert (array[0, 0, 0, 0], array[0, -1, 0, 0]) == (first_row, last_row)


@pytest.mark.parametrize(
    ("dtype", "quantization", "mean", "std", "values"),
    [
        ("float32", (1.0, 0), (0, 0, 0), (1, 1, 1), (30, 20, 10)),
        ("float32", (1.0, 0), (127.5,) * 3, (127.5,) * 3, (-0.76471, -0.84314, -0.92157)),
        ("float32", (1.0, 0), (10, 20, 30), (2, 4, 8), (10, 0, -2.5)),
        ("float16", (1.0, 0), (0, 0, 0), (256, 256, 256), (30 / 256, 20 / 256, 10 / 256)),
        ("uint8", (1.0, 0), (0, 0, 0), (1, 1, 1), (30, 20, 10)),
        # Coral: real numbers -1..1, of which the integers are pixels again.
        ("uint8", (1 / 128, 128), (128,) * 3, (128,) * 3, (30, 20, 10)),
        ("uint8", (0.5, 3), (0, 0, 0), (1, 1, 1), (63, 43, 23)),
        ("int8", (1 / 255, -128), (0, 0, 0), (255, 255, 255), (-98, -108, -118)),
        ("int8", (0.01, 0), (0, 0, 0), (1, 1, 1), (127, 127, 127)),  # out of its range
    ],
)
@pytest.mark.parametrize("channels_first", [False, True])
def test_pixels_become_the_values_of_the_model(
    dtype: str,
    quantization: tuple[float, int],
    mean: PerChannel,
    std: PerChannel,
    values: tuple[float, ...],
    channels_first: bool,
) -> None:
    image_input = ImageInput((4, 2), np.dtype(dtype), channels_first, 1, *quantization)
    array, _ = prepare(image_input, Preprocessing(mean=mean, std=std), plain((4, 2)))
    assert array.dtype == dtype
    assert array.shape == ((1, 3, 2, 4) if channels_first else (1, 2, 4, 3))
    pixels = array[0].transpose(1, 2, 0) if channels_first else array[0]
    np.testing.assert_allclose(pixels.reshape(-1, 3), np.broadcast_to(values, (8, 3)), atol=1e-4)


def test_channels_stay_blue_green_red_for_models_that_want_it() -> None:
    for first in (False, True):
        preprocessing = Preprocessing(channels="bgr", mean=(1, 2, 3))
        array, _ = prepare(ImageInput((2, 2), FLOAT, first), preprocessing, plain((2, 2)))
        pixels = array[0].transpose(1, 2, 0) if first else array[0]
        assert pixels[0, 0].tolist() == [9, 18, 27]


def test_models_of_any_size_get_the_image_as_it_is() -> None:
    preprocessor = Preprocessor(ImageInput(None, np.dtype(np.uint8)), Preprocessing(resize="as_is"), None)
    for wh in ((6, 4), (3, 9)):
        image = np.random.default_rng(2).integers(0, 256, (wh[1], wh[0], 3), np.uint8)
        before = image.copy()
        array, placements = preprocessor.prepare([image])
        np.testing.assert_array_equal(array[0], image[:, :, ::-1])
        np.testing.assert_array_equal(image, before)
        assert (placements[0].placed_wh, placements[0].offset_xy) == (wh, (0, 0))


@pytest.mark.parametrize(("batch", "rows"), [(None, [1, 3, 2]), (4, [4, 4, 4])])
def test_batch_holds_each_image_with_its_own_border(batch: int | None, rows: list[int]) -> None:
    preprocessor = Preprocessor(ImageInput((8, 8), FLOAT, batch=batch), Preprocessing(), (8, 8))
    wide, square, tall = plain((16, 8)), plain((8, 8)), plain((8, 16))
    for images, count in zip(([square], [wide, square, tall], [tall, wide]), rows, strict=True):
        array, placements = preprocessor.prepare(images)
        assert len(array) == count
        assert array.flags.c_contiguous
        for row, image in enumerate(images):
            alone, _ = prepare(ImageInput((8, 8), FLOAT), Preprocessing(), image)
            np.testing.assert_array_equal(array[row], alone[0])
            assert placements[row].image_wh == (image.shape[1], image.shape[0])


USUAL = Preprocessing(mean=(1, 1, 1), std=(2, 2, 2))
SAYS = ModelMetadata(mean=(3, 3, 3), std=(4, 4, 4))
MEAN_AND_STD = {"mean": (5.0, 5.0, 5.0), "std": (6.0, 6.0, 6.0)}


@pytest.mark.parametrize(
    ("says", "metadata", "image_input", "mean_and_std"),
    [
        ({}, ModelMetadata(), ImageInput((8, 8), FLOAT), (1, 2)),
        ({}, SAYS, ImageInput((8, 8), FLOAT), (3, 4)),
        (MEAN_AND_STD, SAYS, ImageInput((8, 8), FLOAT), (5, 6)),
        ({}, SAYS, ImageInput((8, 8), np.dtype(np.uint8), scale=0.1), (3, 4)),
        ({}, SAYS, ImageInput((8, 8), np.dtype(np.uint8)), (0, 1)),  # takes pixels: the graph does the rest
        (MEAN_AND_STD, SAYS, ImageInput((8, 8), np.dtype(np.uint8)), (5, 6)),
    ],
)
def test_user_comes_before_the_file_and_the_file_before_its_family(
    says: dict[str, Any], metadata: ModelMetadata, image_input: ImageInput, mean_and_std: tuple[int, int]
) -> None:
    file = ModelFile("some", None, **says)  # type: ignore[arg-type]
    found = preprocessing_for(file, image_input, metadata, USUAL)
    assert (found.mean[0], found.std[2]) == mean_and_std


@pytest.mark.parametrize(
    ("says", "usual", "size_wh", "inputs_wh", "resize"),
    [
        (None, "letterbox", (8, 8), (), "letterbox"),
        ("stretch", "letterbox", (8, 8), (), "stretch"),
        (None, "as_is", (8, 8), (), "stretch"),
        (None, "as_is", None, (), "as_is"),
        ("letterbox", "letterbox", None, (), "as_is"),
        (None, "letterbox", None, ((64, 64),), "letterbox"),
    ],
)
def test_images_keep_their_size_where_the_model_takes_any(
    says: Any, usual: Any, size_wh: SizeWH | None, inputs_wh: tuple[SizeWH, ...], resize: str
) -> None:
    file = ModelFile("some", None, resize=says, inputs_wh=inputs_wh)  # type: ignore[arg-type]
    image_input = ImageInput(size_wh, FLOAT)
    assert preprocessing_for(file, image_input, SAYS, Preprocessing(resize=usual)).resize == resize


def test_image_as_it_is_cannot_go_into_a_fixed_size() -> None:
    file = ModelFile("some", None, resize="as_is")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="resize: got as_is, but the model takes one size"):
        preprocessing_for(file, ImageInput((8, 8), FLOAT), SAYS, USUAL)
