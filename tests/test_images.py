"""`load_rgb`: any image input becomes upright 8-bit RGB, or an ImageError that names the input."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clipcodec.errors import ImageError, ImageFileError
from clipcodec.images import describe, load_rgb

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
PHOTO = np.asarray(Image.fromarray(COLOURS).resize((90, 60), Image.Resampling.BICUBIC))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(image: Any) -> np.ndarray[Any, Any]:
    loaded = load_rgb(image)
    assert loaded.mode == "RGB"
    return np.asarray(loaded)


PNG = save(Image.fromarray(COLOURS), "PNG")


def test_every_kind_of_input_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(PNG)
    inputs: list[Any] = [path, str(path), PNG, bytearray(PNG), memoryview(PNG), io.BytesIO(PNG)]
    inputs += [Image.open(path), Image.fromarray(COLOURS), COLOURS, COLOURS[:, ::-1][:, ::-1]]
    for image in inputs:
        assert np.array_equal(pixels(image), COLOURS), describe(image)
    with open(path, "rb") as file:
        assert np.array_equal(pixels(file), COLOURS)


def test_a_file_object_is_read_from_where_it_stands_and_need_not_seek() -> None:
    class Pipe:
        def read(self) -> bytes:
            return PNG

    assert np.array_equal(pixels(Pipe()), COLOURS)
    file = io.BytesIO(b"prefix" + PNG)
    file.seek(6)
    assert np.array_equal(pixels(file), COLOURS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(Image.fromarray(COLOURS), "PNG", exif=exif)
    assert np.array_equal(pixels(data), turns[orientation](COLOURS))
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), turns[orientation](COLOURS))


def test_damaged_exif_does_not_cost_the_picture() -> None:
    good = Image.Exif()
    good[0x0112] = 6
    for block in (
        b"Exif\0\0garbage!",
        b"Exif\0\0" + good.tobytes()[6:20],
        b"Exif\0\0II*\0\xff\xff",
    ):
        data = save(Image.fromarray(COLOURS), "PNG", exif=block)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert pixels(data).shape[2] == 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_to_8_bits_and_not_clipped(kind: str) -> None:
    grey = np.array([[0, 128, 257, 32768, 65278, 65535]], np.uint16)
    found = pixels(save(Image.fromarray(grey), kind))
    assert found[0].tolist() == [[v] * 3 for v in (0, 0, 1, 128, 254, 255)]


def test_32_bit_integer_and_float_pixels_are_refused_with_the_conversion() -> None:
    for mode in ("F", "I"):
        data = save(Image.new(mode, (3, 2)), "TIFF")
        with pytest.raises(ImageError, match="no fixed white: scale the pixels to 0…255"):
            load_rgb(data)


def tiff(levels: list[int], bits: int, order: str = "<", *, omit: int = 0, **tags: int) -> bytes:
    """A TIFF of one row of grey, without compression."""
    packed = "".join(f"{level % 2**bits:0{bits}b}" for level in levels)
    packed += "0" * (-len(packed) % 8)
    data = int(packed, 2).to_bytes(len(packed) // 8, "big")
    if bits in (16, 32) and order == "<":
        data = np.frombuffer(data, f">u{bits // 8}").astype(f"<u{bits // 8}").tobytes()
    values = {256: len(levels), 257: 1, 258: bits, 259: 1, 262: tags.get("polarity", 1)}
    values |= {273: 8, 277: 1, 278: 1, 279: len(data), 339: tags.get("sample_format", 1)}
    values.pop(omit, None)
    data += bytes(len(data) % 2)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    found = head + data + struct.pack(f"{order}H", len(values))
    for tag, value in values.items():
        found += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    return found + bytes(4)


def greys(image: Any) -> list[int]:
    found = pixels(image)
    assert (found == found[:, :, :1]).all()
    return found[0, :, 0].tolist()


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
@pytest.mark.parametrize("polarity", [1, 0])
def test_of_tiff_the_tags_say_what_is_black_and_what_is_white(bits: int, polarity: int) -> None:
    white = 2**bits - 1
    levels, expected = [0, white], [0, 255]
    if bits > 8:
        levels, expected = [0, white // 2, white], [0, 127, 255]
    data = tiff(levels if polarity else [white - v for v in levels], bits, polarity=polarity)
    if (bits, polarity) == (12, 0):  # Pillow does not read it
        with pytest.raises(ImageError, match=r"a TIFF file .* variant that Pillow does not read"):
            load_rgb(data)
        return
    assert greys(data) == expected
    assert greys(Image.open(io.BytesIO(data))) == expected, "also of an opened image"
    opened = Image.open(io.BytesIO(data))
    opened.load()
    assert greys(opened) == expected, "and of one that was loaded before"


def test_16_bit_tiff_of_either_polarity_with_compression_and_turned() -> None:
    grey = np.array([[0, 257, 65535]], np.uint16)
    negative = {"tiffinfo": {262: 0}, "compression": "tiff_lzw"}
    data = save(Image.fromarray(grey), "TIFF", **negative)
    assert Image.open(io.BytesIO(data)).tag_v2[262] == 0  # type: ignore[attr-defined]
    assert greys(data) == [255, 254, 0]
    turned = save(Image.fromarray(grey), "TIFF", tiffinfo={262: 0, 274: 3})
    assert greys(turned) == [0, 254, 255]
    assert greys(tiff([0, 257, 65535], 16, ">")) == [0, 1, 255]


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_without_polarity_or_with_signed_grey_is_refused(bits: int) -> None:
    with pytest.raises(ImageError, match="PhotometricInterpretation is missing"):
        load_rgb(tiff([0, 100], bits, omit=262))
    with pytest.raises(ImageError, match=f"{bits}-bit signed grey has no fixed white: scale"):
        load_rgb(tiff([-5, 100], bits, sample_format=2))


def test_tiff_of_10_bits_is_refused_as_tiff() -> None:
    with pytest.raises(ImageError, match=r"a TIFF file .* Pillow does not read; export"):
        load_rgb(tiff([0, 1023], 10))


def fits(bits: int) -> bytes:
    cards = ["SIMPLE  =                    T", f"BITPIX  = {bits:20}", "NAXIS   = 2".ljust(30)]
    cards += ["NAXIS1  = 2", "NAXIS2  = 1", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    return (
        header + np.array([0, 255], f">i{bits // 8}" if bits > 8 else "u1").tobytes() + bytes(2880)
    )


@pytest.mark.filterwarnings("ignore:IM image format is deprecated")
def test_16_bit_grey_of_formats_without_a_fixed_white_is_refused() -> None:
    wide = Image.fromarray(np.array([[0, 4095]], np.uint16))
    for name, data in (("FITS", fits(16)), ("IM", save(wide, "IM"))):
        with pytest.raises(ImageError, match=f"16-bit grey in {name} has no fixed white: scale"):
            load_rgb(data)
        with pytest.raises(ImageError, match=f"16-bit grey in {name} has no fixed white"):
            load_rgb(Image.open(io.BytesIO(data)))
    with pytest.raises(ImageError, match="32-bit grey has no fixed white"):
        load_rgb(fits(32))
    assert greys(fits(8)) == [0, 255]
    assert greys(wide) == [0, 16], "made in memory: white is 65535"


def test_pgm_is_scaled_by_its_own_white() -> None:
    assert greys(b"P5 3 1 4095\n" + struct.pack(">3H", 0, 2047, 4095)) == [0, 127, 255]
    assert greys(b"P5 3 1 100\n" + bytes([0, 50, 100])) == [0, 128, 255]


def test_jpeg_2000_of_16_bits_is_scaled() -> None:
    wide = np.zeros((32, 32), np.uint16)
    wide[:, 16:] = 65535
    found = pixels(save(Image.fromarray(wide), "JPEG2000"))[8, [2, 30], 0]
    assert found.tolist() == [0, 255]


@pytest.mark.parametrize("bits", [10, 12])
def test_jpeg_2000_of_fewer_bits_is_scaled_by_its_own_white(bits: int) -> None:
    """A codestream of 16 bits, told to have fewer: levels are stored around the middle."""
    middle = 2 ** (bits - 1)
    wide = np.full((32, 32), 2**15 - middle, np.uint16)
    wide[:, 16:] = 2**15 + middle - 1
    data = bytearray(save(Image.fromarray(wide), "JPEG2000", no_jp2=True))
    depth = data.index(b"\xff\x51") + 40
    assert data[depth] == 16 - 1
    data[depth] = bits - 1
    assert pixels(bytes(data))[8, [2, 30], 0].tolist() == [0, 255]


def test_bits_that_are_one_for_black_are_not_a_negative() -> None:
    xbm = b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {\n0x01};\n"
    assert greys(xbm) == [0] + [255] * 7
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 1, 8, 1, 0)
    assert greys(header + bytes(12) + b"\0\0" + b"\x80") == [0] + [255] * 7


def test_alpha_is_dropped_as_in_the_reference_pipeline() -> None:
    alpha = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 7, np.uint8)])
    assert np.array_equal(pixels(save(Image.fromarray(alpha), "PNG")), COLOURS)
    grey = save(Image.merge("LA", [Image.new("L", (2, 2), 90), Image.new("L", (2, 2), 0)]), "PNG")
    assert np.array_equal(pixels(grey), np.full((2, 2, 3), 90))


@pytest.mark.parametrize("transparency", [1, bytes([0, 128, 255])])
def test_a_palette_with_transparency_keeps_its_colours_without_warning(transparency: Any) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    data = save(image, "PNG", transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels(data)
    assert found[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]


def test_cmyk_jpeg_with_adobe_inversion_is_not_a_negative() -> None:
    data = save(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=100)
    assert b"Adobe" in data
    assert np.abs(pixels(data).astype(int) - [0, 255, 255]).max() <= 3


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "PNG", "TIFF"):
        data = save(frames[0], kind, save_all=True, append_images=frames[1:])
        assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 3
        assert pixels(data)[0, 0].tolist() == [255, 0, 0], kind


def test_of_an_opened_animation_the_current_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    opened = Image.open(io.BytesIO(save(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    opened.seek(1)
    assert pixels(opened)[0, 0].tolist() == [0, 0, 255]


def test_1_bit_images_are_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels(save(image, "PNG"))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_uint8_arrays_of_every_channel_count(channels: int | None) -> None:
    shape = (5, 7) if channels is None else (5, 7, channels)
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    colour = array if channels in (3, 4) else array.reshape(5, 7, -1)[:, :, :1]
    assert np.array_equal(pixels(array), np.broadcast_to(colour[:, :, :3], (5, 7, 3)))


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((4, 5, 3), np.float32), r"\* 255\)\.round\(\)\.astype"),
        (np.zeros((4, 5), bool), r"astype\('uint8'\) \* 255"),
        (np.zeros((4, 5), np.uint16), "// 257"),
        (np.zeros((4, 5, 3), np.int64), r"astype\('uint8'\)"),
        (np.zeros((3, 40, 50), np.uint8), r"transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "one by one"),
        (np.zeros((5,), np.uint8), r"\(H, W\)"),
        (np.zeros((9, 5, 7), np.uint8), r"\(H, W\)"),
        (np.zeros((0, 5, 3), np.uint8), "no pixels"),
        (np.zeros((5, 0), np.uint8), "no pixels"),
    ],
)
def test_an_unusable_array_is_refused_with_its_shape_and_the_remedy(
    array: np.ndarray[Any, Any], remedy: str
) -> None:
    with pytest.raises(ImageError, match=remedy) as caught:
        load_rgb(array)
    assert f"<array of shape {array.shape}, {array.dtype}>" in str(caught.value)


def test_tensors_of_either_layout_and_of_uint8_or_unit_floats() -> None:
    torch = pytest.importorskip("torch")
    channels_last = torch.from_numpy(COLOURS.copy())
    channels_first = channels_last.permute(2, 0, 1)
    for tensor in (channels_last, channels_first, channels_first / 255, channels_last / 255.0):
        assert np.array_equal(pixels(tensor), COLOURS)
    assert np.array_equal(pixels((channels_first / 255).requires_grad_()), COLOURS)
    assert np.array_equal(pixels(channels_last[:, :, 0]), COLOURS[:, :, :1].repeat(3, axis=2))
    rounded = pixels(torch.tensor([[0.0, 0.001, 0.5, 0.999, 1.0]]))
    assert rounded[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert np.abs(pixels((channels_first / 255).to(dtype)).astype(int) - COLOURS).max() <= 1


def test_a_tensor_with_channel_counts_at_both_ends_is_channels_first() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)
    assert np.array_equal(pixels(tensor), tensor.permute(1, 2, 0).numpy())


def test_tensors_that_are_normalised_batched_or_integers_are_refused() -> None:
    torch = pytest.importorskip("torch")
    refused = [torch.full((3, 4, 4), v) for v in (-0.1, 1.1, float("nan"), 200.0)]
    refused += [torch.zeros(3, 4, 4, dtype=torch.int64), torch.zeros(1, 3, 4, 4), torch.zeros(3)]
    for tensor in refused:
        with pytest.raises(ImageError, match="<tensor of shape"):
            load_rgb(tensor)


def test_above_the_pixel_limit_is_an_image_error_and_pillow_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is well at the limit; an ImageError just above, where Pillow only warns, and beyond."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", COLOURS.shape[0] * COLOURS.shape[1])
    assert np.array_equal(pixels(PNG), COLOURS)
    for limit in (53, 20, 1):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for image in (PNG, Image.fromarray(COLOURS)):
                with pytest.raises(ImageError, match=f"above the limit of {limit} pixels"):
                    load_rgb(image)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ImageError, match="above the limit"):
                load_rgb(PNG)
        assert limit == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert np.array_equal(pixels(PNG), COLOURS)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A 1 GB bitmap's header in 100 bytes: the limit is the answer, not the missing data."""
    header = b"P6 20000 20000 255\n" + bytes(80)
    with pytest.raises(ImageError, match="above the limit"):
        load_rgb(header)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_file_is_an_image_error_at_every_length(kind: str) -> None:
    """Cut in the first 80 %: no format here keeps only optional data before that."""
    data = save(Image.fromarray(PHOTO), kind)
    assert pixels(data).shape == PHOTO.shape
    for size in {0, 1, 8, 20, len(data) // 4, len(data) // 2, len(data) * 4 // 5}:
        with pytest.raises(ImageError):
            load_rgb(data[:size])


@pytest.mark.parametrize("data", [b"", b"\0", b"not an image", b"<svg xmlns='x'/>", bytes(10_000)])
def test_what_is_no_image_file_is_an_image_error_naming_its_size(data: bytes) -> None:
    with pytest.raises(ImageError, match=f"<bytes: {len(data)} bytes>"):
        load_rgb(data)


def test_postscript_is_never_handed_to_an_interpreter() -> None:
    data = save(Image.fromarray(COLOURS), "EPS")
    with pytest.raises(ImageError, match="not an image file of a known format"):
        load_rgb(data)


def test_missing_files_directories_and_odd_paths_are_image_file_errors(tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [
        (tmp_path / "absent.png", "does not exist"),
        (tmp_path, "is a directory" if os.name != "nt" else "cannot be read"),
        ("https://example.org/a.png", "download it first"),
        ("a\0b.png", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("", "does not exist"),
    ]
    for path, words in cases:
        with pytest.raises(ImageFileError, match=words) as caught:
            load_rgb(path)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value, ValueError)
        assert repr(str(path)) in str(caught.value)


def test_a_damaged_file_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(PNG[: len(PNG) // 2])
    with pytest.raises(ImageError, match=r"half\.png"):
        load_rgb(path)


def test_closed_text_and_failing_file_objects_are_image_errors(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(PNG)
    closed = open(path, "rb")  # noqa: SIM115
    closed.close()
    with pytest.raises(ImageFileError, match="closed file"):
        load_rgb(closed)
    with pytest.raises(ImageError, match="binary mode"):
        load_rgb(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(ImageFileError, match="end-of-stream"):
        load_rgb(gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(PNG)[:-9])))  # type: ignore[arg-type]
    picture = Image.open(path)
    picture.close()
    with pytest.raises(ImageError, match="PIL image"):
        load_rgb(picture)


@pytest.mark.parametrize("image", [None, 3, 2.5, [[0, 0]], {"a": 1}, object(), Image])
def test_anything_else_is_an_image_error_that_lists_what_is_accepted(image: Any) -> None:
    with pytest.raises(ImageError, match="a path, bytes, a binary file object, a PIL image"):
        load_rgb(image)


def test_the_caller_keeps_the_input_unchanged() -> None:
    picture = Image.fromarray(COLOURS)
    picture.getexif()[0x0112] = 6
    array = COLOURS.copy()
    load_rgb(picture).putpixel((0, 0), (1, 2, 3))
    load_rgb(array).putpixel((0, 0), (1, 2, 3))
    assert picture.size == (9, 6)
    assert np.array_equal(np.asarray(picture), COLOURS)
    assert np.array_equal(array, COLOURS)


def test_describe_names_each_kind() -> None:
    assert describe(Path("a/b.png")) == repr(str(Path("a/b.png")))
    assert describe(b"123") == "<bytes: 3 bytes>"
    assert describe(memoryview(bytes(16)).cast("i")) == "<memoryview: 16 bytes>"
    assert describe(COLOURS) == "<array of shape (6, 9, 3), uint8>"
    assert describe(Image.fromarray(COLOURS)) == "<PIL image, mode RGB, size (9, 6)>"
    assert describe(io.BytesIO()) == "<file object>"
    assert describe(None) == "<NoneType>"


def test_importing_the_module_imports_neither_pillow_nor_torch() -> None:
    code = "import sys, clipcodec.images; print({'PIL', 'torch', 'open_clip'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


SEEDS = [
    save(Image.fromarray(PHOTO), "JPEG"),
    save(Image.fromarray(COLOURS), "PNG"),
    save(Image.fromarray(COLOURS).convert("P"), "GIF"),
    save(Image.fromarray(COLOURS), "BMP"),
    save(Image.fromarray(COLOURS), "TIFF", compression="tiff_lzw"),
    save(Image.fromarray(COLOURS), "WEBP"),
    save(Image.fromarray(COLOURS), "ICO"),
    save(Image.fromarray(COLOURS), "TGA"),
]


def only_image_errors(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata
        with contextlib.suppress(ImageError):
            assert load_rgb(data).mode == "RGB"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_image_errors(data: bytes) -> None:
    only_image_errors(data)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damaged_files_raise_nothing_but_image_errors(data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    places = st.lists(
        st.tuples(st.integers(0, len(seed) - 1), st.integers(0, 255)), min_size=1, max_size=8
    )
    for place, value in data.draw(places):
        seed[place] = value
    only_image_errors(bytes(seed[: data.draw(st.integers(0, len(seed)))]))
    only_image_errors(bytes(seed))
