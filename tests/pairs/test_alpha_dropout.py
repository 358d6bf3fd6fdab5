"""The pairs of the lesson on alpha dropout, proved in float64.

The generators of the two libraries cannot be made equal. So the mask that one layer drew is read
off its output and given to the formula in the other library.
"""

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, copy_weights, largest_difference

RATE = 0.25  # a number that float32 holds exactly
EXACT, DIFFERENT = 1e-12, 1e-2
ALPHA, SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
LOW = -ALPHA * SCALE
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 50))

pytestmark = pytest.mark.usefixtures("float64")


def affine(rate):
    a = ((1 - rate) * (1 + rate * LOW**2)) ** -0.5
    return a, -a * rate * LOW


def layers(rate, x):
    """Return what both layers make of x in training mode."""
    keras.utils.set_random_seed(0)
    ours = keras.layers.AlphaDropout(rate)(x, training=True)
    return np.asarray(ours), nn.AlphaDropout(rate)(torch.from_numpy(x)).numpy()


def formula(x, mask, rate):
    a, b = affine(rate)
    return a * (x * mask + LOW * (1 - mask)) + b


def kept(out, rate):
    a, b = affine(rate)
    return np.abs(out - (a * LOW + b)) > 1e-9


@pytest.mark.parametrize("rate", [0.0625, 0.25, 0.5])
def test_layers_are_the_formula_under_each_others_masks(rate):
    ours, theirs = layers(rate, X)
    for out in (ours, theirs):
        mask = kept(out, rate)
        assert largest_difference(out, formula(X, mask, rate)) < EXACT
        error = np.sqrt(rate * (1 - rate) / X.size)
        assert abs((~mask).mean() - rate) < 5 * error
    assert (kept(ours, rate) != kept(theirs, rate)).any()


def test_layers_give_the_same_two_values_and_the_same_moments():
    normal = RNG.normal(size=(1000, 1000))
    ours, theirs = layers(RATE, normal)
    low = [out[~kept(out, RATE)] for out in (ours, theirs)]
    assert np.ptp(np.concatenate(low)) < EXACT
    error = np.sqrt(2 / normal.size)
    assert abs(ours.mean() - theirs.mean()) < 5 * error
    assert abs(ours.var() - theirs.var()) < 5 * 2 * error
    for out in (ours, theirs):
        assert abs(out.mean()) < 5 * error
        assert abs(out.var() - 1) < 5 * 2 * error


def test_plain_dropout_and_swapped_rate_are_other_layers():
    ours, _ = layers(RATE, X)
    mask = kept(ours, RATE)
    assert largest_difference(ours, X * mask / (1 - RATE)) > DIFFERENT
    assert largest_difference(ours, formula(X, mask, 1 - RATE)) > DIFFERENT
    assert abs((~kept(layers(1 - RATE, X)[1], 1 - RATE)).mean() - RATE) > 0.4


def test_evaluation_is_the_identity():
    ours = keras.layers.AlphaDropout(RATE)
    theirs = nn.AlphaDropout(RATE).eval()
    assert largest_difference(ours(X, training=False), X) == 0
    assert largest_difference(ours(X), X) == 0
    assert largest_difference(theirs(torch.from_numpy(X)), X) == 0


def test_moments_by_depth_agree(solution):
    ours = keras.Sequential([keras.Input((50,))])
    theirs = nn.Sequential()
    for _ in range(20):
        ours.add(keras.layers.Dense(50, "selu", kernel_initializer="lecun_normal"))
        theirs.append(nn.Linear(50, 50))
        theirs.append(nn.SELU())
    copy_weights(ours, theirs)
    each = keras.Model(ours.inputs[0], [layer.output for layer in ours.layers])(X)
    x, found = torch.from_numpy(X), []
    for layer in theirs:
        x = layer(x)
        if isinstance(layer, nn.SELU):
            found.append(x)
    assert largest_difference(list(each), found) < EXACT
    kernels = [layer.kernel.numpy() for layer in ours.layers]
    means, variances = solution("moments_by_depth")(kernels, X)
    assert largest_difference(np.array(means), np.array([a.mean().item() for a in found])) < EXACT
    by_torch = np.array([a.var(correction=0).item() for a in found])
    assert largest_difference(np.array(variances), by_torch) < EXACT
    unbiased = np.array([a.var().item() for a in found])
    assert largest_difference(by_torch, unbiased) > 1e-6


def alpha_dropout(x, mask):
    """Return x after alpha dropout, in either library."""
    a, b = affine(RATE)
    return a * (x * mask + LOW * (1 - mask)) + b


def test_training_with_shared_masks_agrees():
    """The proof of the lesson: 20 steps with the same batches and the same masks."""
    y = RNG.integers(0, 3, size=400)
    steps = [
        (take, (RNG.random((4, len(take), 20)) >= RATE).astype(float))
        for take in batches(400, 50, epochs=3)
    ][:20]
    dense = [keras.layers.Dense(20, "selu", kernel_initializer="lecun_normal") for _ in range(4)]
    dense.append(keras.layers.Dense(3, kernel_initializer="lecun_normal"))
    x = inputs = keras.Input((50,))
    masks = [keras.Input((20,)) for _ in range(4)]
    for layer, mask in zip(dense, masks, strict=False):
        x = alpha_dropout(layer(x), mask)
    ours = keras.Model([inputs, *masks], dense[-1](x))
    theirs = nn.Sequential(nn.Linear(50, 20), *(nn.Linear(20, 20) for _ in range(3)))
    theirs.append(nn.Linear(20, 3))
    copy_weights(ours, theirs)
    before = [w.detach().clone() for w in theirs.parameters()]

    ours.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05)
    for take, drawn in steps:
        ours.train_on_batch([X[take], *drawn], y[take])
        h = torch.from_numpy(X[take])
        for layer, mask in zip(theirs[:-1], drawn, strict=True):
            h = alpha_dropout(torch.selu(layer(h)), torch.from_numpy(mask))
        optimizer.zero_grad()
        nn.functional.cross_entropy(theirs[-1](h), torch.from_numpy(y[take])).backward()
        optimizer.step()
    assert largest_difference(ours, theirs) < 1e-10
    moved = max((w - old).abs().max() for w, old in zip(theirs.parameters(), before, strict=True))
    assert moved > DIFFERENT


def test_formulas_of_the_exercises_are_those_of_the_layers(solution):
    x = np.concatenate([X[0], [0.0, -40.0, 40.0]])
    selu = solution("selu")(x)
    assert largest_difference(selu, torch.selu(torch.from_numpy(x))) < EXACT
    assert largest_difference(selu, keras.activations.selu(x)) < EXACT
    assert np.allclose(solution("alpha_dropout_affine")(RATE), affine(RATE), rtol=1e-12)


def beyond_keras(kernel):
    """Return how far the largest weight lies beyond Keras's cut, in units of fan_in ** -0.5."""
    cut = 2 / 0.87962566103423978
    return max(0.0, np.abs(kernel).max() * kernel.shape[0] ** 0.5 - cut)


def test_lecun_normal(convention):
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    ours = np.asarray(keras.initializers.LecunNormal()((400, 300)))
    std = 400**-0.5 / 0.87962566103423978
    cut, uncut = torch.empty(300, 400), torch.empty(300, 400)
    nn.init.trunc_normal_(cut, std=std, a=-2 * std, b=2 * std)
    nn.init.kaiming_normal_(uncut, nonlinearity="linear")
    for kernel in (ours, cut.numpy().T, uncut.numpy().T):
        # Five standard errors of a variance; a truncated normal has less.
        assert abs(400 * kernel.var() - 1) < 5 * (2 / kernel.size) ** 0.5
    convention(
        "LeCun normal",
        keras="`lecun_normal`, cut at 2 standard deviations and widened to variance 1 / fan_in",
        torch='no such name; `kaiming_normal_(nonlinearity="linear")` is not cut',
        rule="`trunc_normal_` with `std = fan_in**-0.5 / 0.8796`, cut at 2 std",
        agreement=abs(beyond_keras(ours) - beyond_keras(cut.numpy().T)),
        naive=abs(beyond_keras(ours) - beyond_keras(uncut.numpy().T)),
    )


def test_initializer_for_selu(convention):
    gain = keras.initializers.LecunNormal().scale ** 0.5
    convention(
        "kernels for SELU",
        keras="`lecun_normal`: gain 1",
        torch='`nonlinearity="selu"`: gain 3/4',
        rule='`kaiming_normal_(nonlinearity="linear")`',
        agreement=abs(gain - nn.init.calculate_gain("linear")),
        naive=abs(gain - nn.init.calculate_gain("selu")),
    )


def test_channels_are_dropped_whole(convention):
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    layer = keras.layers.AlphaDropout(RATE, noise_shape=(None, 1, 1, None))
    ours = np.moveaxis(np.asarray(layer(np.ones((200, 3, 3, 50)), training=True)), -1, 1)
    theirs = nn.FeatureAlphaDropout(RATE)(torch.ones(200, 50, 3, 3)).numpy()
    single = nn.AlphaDropout(RATE)(torch.ones(200, 50, 3, 3)).numpy()

    def spread(out):
        """Return the largest spread of values within one channel of one image."""
        return np.ptp(out.reshape(10_000, 9), axis=1).max()

    firsts = [out[:, :, 0, 0] for out in (ours, theirs)]
    assert (
        largest_difference([firsts[0].min(), firsts[0].max()], [firsts[1].min(), firsts[1].max()])
        < EXACT
    )
    error = np.sqrt(2 * RATE * (1 - RATE) / 10_000)
    assert abs((firsts[0] < 0).mean() - (firsts[1] < 0).mean()) < 5 * error
    convention(
        "alpha dropout of whole channels",
        keras="`AlphaDropout(rate, noise_shape=(None, 1, 1, None))`",
        torch="`nn.FeatureAlphaDropout(p)`",
        rule="another layer in PyTorch, another argument in Keras",
        agreement=abs(spread(ours) - spread(theirs)),
        naive=abs(spread(ours) - spread(single)),
    )
