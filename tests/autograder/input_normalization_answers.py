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


@np.errstate(divide="ignore", invalid="ignore")
def fit_divided(X):
    return X.mean(axis=0), X.var(axis=0) / X.std(axis=0)


# --- transform -------------------------------------------------------------------------------


def transform_loop(X, stats):
    return [[(v - m) / s for v, m, s in zip(row, *stats, strict=True)] for row in X]


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
    out[:] = (X - stats[0]) / stats[1]
    return out


@np.errstate(invalid="ignore")
def transform_refitted(X, stats):
    return (X - X.mean(axis=0)) / X.std(axis=0)


# --- condition_number ------------------------------------------------------------------------


def kappa_eigenvalues(X):
    s = np.linalg.eigvalsh(X.T @ X / len(X))
    return float("inf") if np.linalg.matrix_rank(X) < X.shape[1] else s[-1] / s[0]


def kappa_svd(X):
    s = np.linalg.svd(X, compute_uv=False)
    return np.inf if s[-1] < s[0] * 1e-13 else (s[0] / s[-1]) ** 2


def kappa_torch(X):
    import torch

    x = torch.as_tensor(X)
    s = torch.linalg.eigvalsh(x.T @ x)
    independent = torch.linalg.matrix_rank(x) == x.shape[1]
    return s.max() / s.min() if independent else torch.tensor(torch.inf)


# --- build_scaled_model ----------------------------------------------------------------------


def build_torch(
    mean=np.mean, std=np.std, *, axis=0, scaler=None, trained=False, bias=True, rate=None, last=(),
    momentum=0.0,
):  # fmt: skip
    """Return an answer in PyTorch with one part replaced; as it stands, it is right."""

    def answer(X_train, n_classes, lr):
        import torch
        from torch import nn

        class Scaler(nn.Module):
            def __init__(self):
                super().__init__()
                for name, statistic in (("mean", mean), ("std", std)):
                    value = torch.tensor(np.float32(statistic(X_train, axis=axis)))
                    setattr(self, name, nn.Parameter(value, requires_grad=trained))

            def forward(self, x):
                return (x - self.mean) / self.std

        first = scaler(X_train) if scaler else Scaler()
        dense = nn.Linear(X_train.shape[1], n_classes, bias=bias)
        model = nn.Sequential(first, dense, *(getattr(nn, name)(dim=1) for name in last))
        rate_used = lr if rate is None else rate
        return model, torch.optim.SGD(model.parameters(), lr=rate_used, momentum=momentum)

    return answer


def _own_statistics(X_train):
    import torch

    scaler = torch.nn.Identity()
    scaler.forward = lambda x: (x - x.mean(dim=0)) / x.std(dim=0, correction=0)
    return scaler


def _batch_norm(X_train):
    import torch

    scaler = torch.nn.BatchNorm1d(X_train.shape[1], affine=False, eps=1e-12)
    scaler.running_mean.copy_(torch.tensor(X_train.mean(axis=0)))
    scaler.running_var.copy_(torch.tensor(X_train.var(axis=0)))
    return scaler


def build_keras(given=None, momentum=0.0):
    """Return an answer in Keras: adapted, or with the mean and variance given(X_train)."""

    def answer(X_train, n_classes, lr):
        import keras

        mean, variance = given(X_train) if given else (None, None)
        scaler = keras.layers.Normalization(mean=mean, variance=variance)
        if not given:
            scaler.adapt(X_train)
        inputs = keras.Input((X_train.shape[1],))
        model = keras.Model(inputs, keras.layers.Dense(n_classes)(scaler(inputs)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(lr, momentum=momentum), loss)
        return model

    return answer


# --- diagnose_scaling ------------------------------------------------------------------------


def diagnose_nearest(X_train, X_test, Z_test):
    both, turned = np.vstack([X_train, X_test]), X_test.T
    tables = {
        "unscaled": X_test,
        "right": (X_test - X_train.mean(axis=0)) / X_train.std(axis=0),
        "variance": (X_test - X_train.mean(axis=0)) / X_train.std(axis=0) ** 2,
        "own statistics": (X_test - X_test.mean(axis=0)) / X_test.std(axis=0),
        "all rows": (X_test - both.mean(axis=0)) / both.std(axis=0),
        "per row": ((turned - turned.mean(axis=0)) / turned.std(axis=0)).T,
    }
    return min(tables, key=lambda name: np.abs(tables[name] - Z_test).max())


def diagnose_by_line(X_train, X_test, Z_test):
    """Read each column's mean and divisor off two rows, and see what they are."""
    if np.allclose(Z_test.mean(axis=1), 0, atol=1e-6):
        return "per row"
    a, b = X_test[:, 0].argmin(), X_test[:, 0].argmax()
    divisor = (X_test[b, 0] - X_test[a, 0]) / (Z_test[b, 0] - Z_test[a, 0])
    known = {
        "unscaled": 1.0,
        "right": X_train[:, 0].std(),
        "variance": X_train[:, 0].var(),
        "own statistics": X_test[:, 0].std(),
        "all rows": np.concatenate([X_train, X_test])[:, 0].std(),
    }
    return min(known, key=lambda name: abs(known[name] - divisor))


RIGHT = {
    "fit_scaler": [fit_loop, fit_torch, fit_first_row],
    "transform": [transform_loop, transform_float32, transform_torch, transform_keras],
    "condition_number": [kappa_eigenvalues, kappa_svd, kappa_torch],
    "build_scaled_model": [
        build_torch(),
        build_keras(),
        build_keras(lambda X: (X.mean(axis=0), X.var(axis=0))),
    ],
    "diagnose_scaling": [diagnose_nearest, diagnose_by_line],
}


def diagnose_by_moments(X_train, X_test, Z_test):
    """Call every table with moments near 0 and 1 scaled by its own statistics."""
    moments = [*Z_test.mean(axis=0), *(Z_test.std(axis=0) - 1)]
    found = diagnose_nearest(X_train, X_test, Z_test)
    return "own statistics" if found == "right" and np.abs(moments).max() < 0.1 else found


def diagnose_roughly(X_train, X_test, Z_test):
    """Take what comes near to the training statistics for them."""
    near = np.abs((X_test - X_train.mean(axis=0)) / X_train.std(axis=0) - Z_test).max() < 0.1
    return "right" if near else diagnose_nearest(X_train, X_test, Z_test)


# Mistakes of another form than those that the checks hold; each exercise's own are added to them.
WRONG = {
    "fit_scaler": [("zero", fit_divided)],
    "transform": [
        ("refitted", transform_refitted),
        ("in place", transform_in_place),
        ("in place", transform_slice),
        ("in place", transform_like),
        # asarray copies whole numbers, and takes decimal ones as they are.
        ("changes its input", lambda X, stats: transform_in_place(np.asarray(X, float), stats)),
    ],
    "build_scaled_model": [
        ("unscaled", build_torch(lambda X, axis: 0.0, lambda X, axis: 1.0)),
        ("unscaled", build_keras(lambda X: (np.zeros(X.shape[1]), np.ones(X.shape[1])))),
        ("m minus 1", build_torch(std=lambda X, axis: X.std(axis=axis, ddof=1))),
        ("variance", build_torch(std=np.var)),
        ("std as variance", build_keras(lambda X: (X.mean(axis=0), X.std(axis=0)))),
        ("not centred", build_torch(lambda X, axis: 0.0)),
        ("not divided", build_torch(std=lambda X, axis: 1.0)),
        ("one for all", build_torch(axis=None)),
        ("batch-norm epsilon", build_torch(std=lambda X, axis: np.sqrt(X.var(axis=axis) + 1e-3))),
        ("trained statistics", build_torch(trained=True)),
        ("no bias", build_torch(bias=False)),
        ("untrained", build_torch(rate=0.0)),
        ("rate 0.001", build_torch(rate=0.001)),
        ("rate 0.01", build_torch(rate=0.01)),
        ("own statistics", build_torch(scaler=_own_statistics)),
        ("batch statistics in training", build_torch(scaler=_batch_norm)),
        ("softmax", build_torch(last=["Softmax"])),
        ("momentum", build_torch(momentum=0.9)),
        ("momentum", build_torch(momentum=0.3)),
        ("momentum", build_keras(momentum=0.9)),
    ],
    "diagnose_scaling": [
        ("right taken for own statistics", diagnose_by_moments),
        ("all rows taken for right", diagnose_roughly),
    ],
}
