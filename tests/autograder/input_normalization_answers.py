"""Right and wrong answers to the exercises of chapter 04, for `test_answers`."""

import numpy as np

# --- fit_scaler ------------------------------------------------------------------------------


def fit_loop(X):
    mean, std = [], []
    for column in X.T:
        mean.append(sum(column) / len(column))
        spread = sum((v - mean[-1]) ** 2 for v in column) / len(column)
        std.append(1.0 if max(column) == min(column) else spread**0.5)
    return mean, std


def fit_torch(X):
    import torch

    x = torch.as_tensor(X)
    std = x.std(dim=0, correction=0)
    return x.mean(dim=0), torch.where(x.amax(dim=0) > x.amin(dim=0), std, 1.0)


def fit_first_row(X):
    std = X.std(axis=0)
    std[(X[:1] == X).all(axis=0)] = 1
    return X.mean(axis=0), std


def _guarded(X, std):
    return np.where(np.ptp(X, axis=0) > 0, std, 1)


def fit_plain(X):
    return X.mean(axis=0), X.std(axis=0)


def fit_zero_only(X):
    std = X.std(axis=0)
    std[std == 0] = 1
    return X.mean(axis=0), std


def fit_tolerance(X):
    std = X.std(axis=0)
    return X.mean(axis=0), np.where(std < 1e-6, 1, std)


def fit_one_decides_all(X):
    std = X.std(axis=0)
    return X.mean(axis=0), std if std.all() else np.ones_like(std)


def fit_divided(X):
    with np.errstate(divide="ignore", invalid="ignore"):
        std = X.std(axis=0)
        return X.mean(axis=0), std * std / std


def fit_root_of_sum(X):
    return X.mean(axis=0), np.sqrt((X**2).mean(axis=0))


# --- transform -------------------------------------------------------------------------------


def transform_loop(X, stats):
    out = np.zeros(X.shape)
    for i, row in enumerate(X):
        for j, value in enumerate(row):
            out[i, j] = (value - stats[0][j]) / stats[1][j]
    return out


def transform_float32(X, stats):
    mean, std = (np.asarray(s, np.float32) for s in stats)
    return (np.float32(X) - mean) / std


def transform_torch(X, stats):
    import torch

    mean, std = map(torch.as_tensor, stats)
    return (torch.as_tensor(X) - mean) / std


def transform_keras(X, stats):
    import keras

    mean, std = stats
    layer = keras.layers.Normalization(mean=mean, variance=std**2)
    return layer(np.float32(X))


def transform_in_place(X, stats):
    X -= stats[0]
    X /= stats[1]
    return X


def transform_slice(X, stats):
    X[:] = (X - stats[0]) / stats[1]
    return X


def transform_like(X, stats):
    out = np.zeros_like(X)
    for i, row in enumerate(X):
        out[i] = (row - stats[0]) / stats[1]
    return out


def transform_refitted(X, stats):
    with np.errstate(divide="ignore", invalid="ignore"):
        return (X - X.mean(axis=0)) / X.std(axis=0)


def transform_refitted_guarded(X, stats):
    return (X - X.mean(axis=0)) / _guarded(X, X.std(axis=0))


# --- condition_number ------------------------------------------------------------------------


def _dependent(X):
    return np.linalg.matrix_rank(X) < X.shape[1]


def kappa_eigenvalues(X):
    s = np.linalg.eigvalsh(X.T @ X / len(X))
    return float("inf") if _dependent(X) else s[-1] / s[0]


def kappa_svd(X):
    s = np.linalg.svd(X, compute_uv=False)
    if s[-1] < s[0] * 1e-13:
        return np.inf
    return (s[0] / s[-1]) ** 2


def kappa_torch(X):
    import torch

    x = torch.as_tensor(X)
    if torch.linalg.matrix_rank(x) < x.shape[1]:
        return torch.tensor(torch.inf)
    s = torch.linalg.eigvalsh(x.T @ x)
    return s.max() / s.min()


def kappa_of(matrix):
    """Return an answer that takes the ratio of the eigenvalues of another matrix."""

    def answer(X):
        if _dependent(X):
            return np.inf
        s = np.linalg.eigvalsh(matrix(X))
        return s[-1] / s[0]

    return answer


def kappa_unguarded(X):
    s = np.linalg.eigvalsh(X.T @ X / len(X))
    return s[-1] / s[0]


def kappa_bound(X):
    s = np.linalg.eigvalsh(X.T @ X / len(X))
    return np.inf if s[0] < 1e-10 else s[-1] / s[0]


def kappa_rows(X):
    s = np.linalg.eigvalsh(X @ X.T)
    return np.inf if s[0] < 1e-9 * s[-1] else s[-1] / s[0]


def standardized(X):
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    return z.T @ z


def with_ones(X):
    X = np.column_stack([X, np.ones(len(X))])
    return X.T @ X


# --- build_scaled_model ----------------------------------------------------------------------


def _torch_model(n_classes, lr, scaler, *, columns, bias=True, last=(), frozen=False, sgd=None):
    import torch
    from torch import nn

    model = nn.Sequential(scaler, nn.Linear(columns, n_classes, bias=bias), *last)
    parameters = [nn.Parameter(torch.zeros(1))] if frozen else model.parameters()
    return model, sgd(parameters) if sgd else torch.optim.SGD(parameters, lr=lr)


def _scaler(mean, std, trained=False):
    import torch
    from torch import nn

    class Scaler(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in (("mean", mean), ("std", std)):
                value = torch.as_tensor(np.asarray(value), dtype=torch.float32)
                if trained:
                    setattr(self, name, nn.Parameter(value))
                else:
                    self.register_buffer(name, value)

        def forward(self, x):
            return (x - self.mean) / self.std

    return Scaler()


def build_with(statistics, trained=False, **options):
    """Return an answer whose scaler holds `statistics(X_train)`, a mean and a divisor."""

    def answer(X_train, n_classes, lr):
        scaler = _scaler(*statistics(X_train), trained)
        return _torch_model(n_classes, lr, scaler, columns=X_train.shape[1], **options)

    return answer


def right_statistics(X):
    return X.mean(axis=0), X.std(axis=0)


def build_keras_given(X_train, n_classes, lr):
    return _keras(X_train, n_classes, lr, X_train.mean(axis=0), X_train.var(axis=0))


def build_keras_std_as_variance(X_train, n_classes, lr):
    return _keras(X_train, n_classes, lr, X_train.mean(axis=0), X_train.std(axis=0))


def _keras(X_train, n_classes, lr, *given):
    import keras

    if given:
        scaler = keras.layers.Normalization(mean=given[0], variance=given[1])
    else:
        scaler = keras.layers.Normalization()
        scaler.adapt(X_train)
    inputs = keras.Input((X_train.shape[1],))
    model = keras.Model(inputs, keras.layers.Dense(n_classes)(scaler(inputs)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(lr), loss)
    return model


def build_keras_adapted(X_train, n_classes, lr):
    return _keras(X_train, n_classes, lr)


def build_keras_unadapted(X_train, n_classes, lr):
    return _keras(X_train, n_classes, lr, np.zeros(X_train.shape[1]), np.ones(X_train.shape[1]))


def build_own_statistics(X_train, n_classes, lr):
    from torch import nn

    class Own(nn.Module):
        def forward(self, x):
            return (x - x.mean(dim=0)) / x.std(dim=0, correction=0)

    return _torch_model(n_classes, lr, Own(), columns=X_train.shape[1])


def build_batch_norm(X_train, n_classes, lr):
    import torch
    from torch import nn

    scaler = nn.BatchNorm1d(X_train.shape[1], affine=False, eps=1e-12)
    scaler.running_mean.copy_(torch.as_tensor(X_train.mean(axis=0)))
    scaler.running_var.copy_(torch.as_tensor(X_train.var(axis=0)))
    return _torch_model(n_classes, lr, scaler, columns=X_train.shape[1])


def build_softmax(X_train, n_classes, lr):
    from torch import nn

    scaler = _scaler(*right_statistics(X_train))
    return _torch_model(n_classes, lr, scaler, columns=X_train.shape[1], last=[nn.Softmax(dim=1)])


# --- diagnose_scaling ------------------------------------------------------------------------


def _standardize(X, by, axis=0):
    return (X - by.mean(axis=axis, keepdims=True)) / by.std(axis=axis, keepdims=True)


def diagnose(X_train, X_test, Z_test):
    def is_(table):
        return np.allclose(Z_test, table, atol=1e-6)

    if is_(X_test):
        return "unscaled"
    if is_(_standardize(X_test, X_test)):
        return "own statistics"
    if is_(_standardize(X_test, X_test, axis=1)):
        return "per row"
    if is_(_standardize(X_test, X_train)):
        return "right"
    if is_(_standardize(X_test, np.vstack([X_train, X_test]))):
        return "all rows"
    return "variance"


def diagnose_by_line(X_train, X_test, Z_test):
    """Read each column's mean and divisor off two rows, and see what they are."""
    if np.allclose(Z_test.mean(axis=1), 0, atol=1e-6):
        return "per row"
    a, b = X_test[:, 0].argmin(), X_test[:, 0].argmax()
    divisor = (X_test[b, 0] - X_test[a, 0]) / (Z_test[b, 0] - Z_test[a, 0])
    both = np.concatenate([X_train, X_test])
    known = {
        "unscaled": 1.0,
        "right": X_train[:, 0].std(),
        "variance": X_train[:, 0].var(),
        "own statistics": X_test[:, 0].std(),
        "all rows": both[:, 0].std(),
    }
    return min(known, key=lambda name: abs(known[name] - divisor))


def diagnose_by_moments(X_train, X_test, Z_test):
    """Take mean 0 and standard deviation 1 for the sign of a working scaler."""
    found = diagnose(X_train, X_test, Z_test)
    return {"own statistics": "right", "right": "own statistics"}.get(found, found)


def confuse(truth, other):
    """Return an answer that says `other` where `truth` is right."""

    def answer(*tables):
        found = diagnose(*tables)
        return other if found == truth else found

    return answer


RIGHT = {
    "fit_scaler": [fit_loop, fit_torch, fit_first_row],
    "transform": [transform_loop, transform_float32, transform_torch, transform_keras],
    "condition_number": [kappa_eigenvalues, kappa_svd, kappa_torch],
    "build_scaled_model": [
        build_with(right_statistics),
        build_keras_adapted,
        build_keras_given,
    ],
    "diagnose_scaling": [diagnose, diagnose_by_line],
}

WRONG = {
    "fit_scaler": [
        ("variance", lambda X: (X.mean(axis=0), _guarded(X, X.var(axis=0)))),
        ("m minus 1", lambda X: (X.mean(axis=0), _guarded(X, X.std(axis=0, ddof=1)))),
        ("order", lambda X: (_guarded(X, X.std(axis=0)), X.mean(axis=0))),
        ("per row", lambda X: (X.mean(axis=1), X.std(axis=1))),
        ("one for all", lambda X: (X.mean(), X.std())),
        ("one for all", lambda X: (np.full(X.shape[1], X.mean()), np.full(X.shape[1], X.std()))),
        ("range", lambda X: (X.min(axis=0), _guarded(X, np.ptp(X, axis=0)))),
        ("median", lambda X: (np.median(X, axis=0), _guarded(X, X.std(axis=0)))),
        ("not centred", fit_root_of_sum),
        ("zero", fit_plain),
        ("zero", fit_divided),
        ("all ones", fit_one_decides_all),
        (
            "added to all",
            lambda X: (X.mean(axis=0), X.std(axis=0) + (np.ptp(X, axis=0) == 0).any()),
        ),
        ("no small std", lambda X: (X.mean(axis=0), np.maximum(X.std(axis=0), 1))),
        ("rounding", fit_zero_only),
        ("rounding", fit_plain),
        ("tiny spread", fit_tolerance),
    ],
    "transform": [
        ("refitted", transform_refitted),
        ("single row", transform_refitted),
        ("single row", transform_refitted_guarded),
        ("refitted mean", lambda X, stats: (X - X.mean(axis=0)) / stats[1]),
        ("variance", lambda X, stats: (X - stats[0]) / stats[1] ** 2),
        ("root", lambda X, stats: (X - stats[0]) / np.sqrt(stats[1])),
        ("not centred", lambda X, stats: X / stats[1]),
        ("not scaled", lambda X, stats: X - stats[0]),
        ("multiplied", lambda X, stats: (X - stats[0]) * stats[1]),
        ("backwards", lambda X, stats: X * stats[1] + stats[0]),
        ("order", lambda X, stats: (X - stats[1]) / stats[0]),
        ("parentheses", lambda X, stats: X - stats[0] / stats[1]),
        ("in place", transform_in_place),
        ("in place", transform_slice),
        ("in place", transform_like),
    ],
    "condition_number": [
        ("singular values", lambda X: np.inf if _dependent(X) else np.linalg.cond(X)),
        ("squared twice", lambda X: np.inf if _dependent(X) else np.linalg.cond(X.T @ X) ** 2),
        ("upside down", lambda X: 1 / kappa_eigenvalues(X)),
        ("variances", lambda X: X.var(axis=0).max() / X.var(axis=0).min()),
        ("variances", lambda X: np.diag(X.T @ X).max() / np.diag(X.T @ X).min()),
        ("centred", kappa_of(lambda X: np.cov(X.T))),
        ("standardized", kappa_of(standardized)),
        ("with ones", kappa_of(with_ones)),
        ("largest", lambda X: np.linalg.eigvalsh(X.T @ X / len(X))[-1]),
        ("difference", lambda X: np.ptp(np.linalg.eigvalsh(X.T @ X / len(X)))),
        ("rows", kappa_rows),
        ("rounding", kappa_unguarded),
        ("bound", kappa_bound),
    ],
    "build_scaled_model": [
        ("unscaled", build_with(lambda X: (0.0, 1.0))),
        ("unscaled", build_keras_unadapted),
        ("m minus 1", build_with(lambda X: (X.mean(axis=0), X.std(axis=0, ddof=1)))),
        ("variance", build_with(lambda X: (X.mean(axis=0), X.var(axis=0)))),
        ("std as variance", build_keras_std_as_variance),
        ("not centred", build_with(lambda X: (0.0, X.std(axis=0)))),
        ("not divided", build_with(lambda X: (X.mean(axis=0), 1.0))),
        ("one for all", build_with(lambda X: (X.mean(), X.std()))),
        (
            "batch-norm epsilon",
            build_with(lambda X: (X.mean(axis=0), np.sqrt(X.var(axis=0) + 1e-3))),
        ),
        ("trained statistics", build_with(right_statistics, trained=True)),
        ("no bias", build_with(right_statistics, bias=False)),
        ("untrained", build_with(right_statistics, frozen=True)),
        ("own statistics", build_own_statistics),
        ("batch statistics in training", build_batch_norm),
        ("softmax", build_softmax),
    ],
    "diagnose_scaling": [
        ("own statistics taken for right", diagnose_by_moments),
        ("right taken for own statistics", diagnose_by_moments),
        ("unscaled taken for right", lambda *tables: "right"),
        ("all rows taken for right", confuse("all rows", "right")),
        ("all rows taken for own statistics", confuse("all rows", "own statistics")),
        ("per row taken for right", confuse("per row", "right")),
        ("per row taken for unscaled", confuse("per row", "unscaled")),
        ("variance taken for right", confuse("variance", "right")),
        ("right taken for all rows", confuse("right", "all rows")),
        ("right taken for variance", confuse("right", "variance")),
        ("own statistics taken for all rows", confuse("own statistics", "all rows")),
    ],
}
