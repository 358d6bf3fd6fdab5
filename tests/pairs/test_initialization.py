"""The conversion rules of the lesson on initialization, proved in float64.

Random draws of the two libraries cannot be made equal, their scales can: an initializer draws
`scale * standard draw`, so the same seed, drawn in standard form, gives the scale. Keras casts
the limits of uniform draws through float32, so the fans give limits that float32 holds exactly:
Glorot 1/8, PyTorch's default 1/16. The others are compared within 1e-8.
"""

import itertools

import keras
import numpy as np
import pytest
import torch
from torch import nn

from regbook.pairs import batches, copy_weights, largest_difference, set_weights, weights

IN, OUT = 256, 128
LR, MAX_NORM, VALUE = 2**-1, 2**-2, 2**-6
EXACT, FLOAT32, DIFFERENT = 1e-12, 1e-8, 1e-2
CUT = 0.87962566103423978  # the standard deviation of a Gaussian that is cut at two of its own
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, size=40)
START = [RNG.normal(scale=0.5, size=shape) for shape in [(6, 5), (5,), (5, 3), (3,)]]

pytestmark = pytest.mark.usefixtures("float64")


def scale_of(draw, standard):
    """Return the number that turns the standard draw into the draw."""
    scale = float((draw * standard).sum() / (standard**2).sum())
    assert np.abs(draw - scale * standard).max() < FLOAT32
    return scale


def keras_scale(initializer, standard="uniform", shape=(IN, OUT)):
    options = {"minval": -1, "maxval": 1} if standard == "uniform" else {}
    standard = getattr(keras.random, standard)(shape, seed=initializer.seed, **options)
    return scale_of(np.asarray(initializer(shape)), np.asarray(standard))


def torch_scale(initialize, standard="uniform", shape=(OUT, IN)):
    torch.manual_seed(0)
    draw = initialize(torch.empty(shape)).detach().numpy()
    torch.manual_seed(0)
    w = torch.empty(shape)
    standard = w.uniform_(-1, 1) if standard == "uniform" else w.normal_()
    return scale_of(draw, standard.numpy())


def kaiming(w, nonlinearity="relu", mode="fan_in"):
    return nn.init.kaiming_normal_(w, nonlinearity=nonlinearity, mode=mode)


def test_uniform_initializers_have_the_same_limit():
    names = {"Glorot": (6 / (IN + OUT), nn.init.xavier_uniform_)}
    for name, square, word in (("He", 6 / IN, "relu"), ("Lecun", 3 / IN, "linear")):
        names[name] = (
            square,
            lambda w, word=word: nn.init.kaiming_uniform_(w, nonlinearity=word),
        )
    for name, (square, twin) in names.items():
        ours = getattr(keras.initializers, f"{name}Uniform")(seed=1)
        assert abs(keras_scale(ours) - np.sqrt(square)) < FLOAT32
        assert abs(torch_scale(twin) - np.sqrt(square)) < EXACT


def test_default_kernel(convention):
    def default(w):
        layer = nn.Linear(IN, OUT)
        torch.manual_seed(0)
        layer.reset_parameters()
        return layer.weight

    ours = keras_scale(keras.initializers.get(keras.layers.Dense(OUT).kernel_initializer))
    own = torch_scale(default)
    assert abs(own - np.sqrt(1 / IN)) < EXACT
    scaling = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=1)
    assert abs(keras_scale(scaling) - own) < FLOAT32
    convention(
        "default kernel of a dense layer",
        keras="Glorot uniform, limit "
        "$\\sqrt{6 / (\\text{fan}_{\\text{in}} + \\text{fan}_{\\text{out}})}$",
        torch="`kaiming_uniform_` with `a=sqrt(5)`, limit $\\sqrt{1 / \\text{fan}_{\\text{in}}}$",
        rule="`xavier_uniform_(layer.weight)`",
        agreement=abs(ours - torch_scale(nn.init.xavier_uniform_)),
        naive=abs(ours - own),
    )


def test_default_bias(convention):
    dense, linear = keras.layers.Dense(OUT), nn.Linear(IN, OUT)
    dense.build((None, IN))
    drawn = linear.bias.detach().numpy().copy()
    assert 0 < np.abs(drawn).max() <= np.sqrt(1 / IN)
    nn.init.zeros_(linear.bias)
    convention(
        "default bias of a dense layer",
        keras="zero",
        torch="uniform, limit $\\sqrt{1 / \\text{fan}_{\\text{in}}}$",
        rule="`zeros_(layer.bias)`",
        agreement=largest_difference(dense.bias, linear.bias),
        naive=np.abs(drawn).max(),
    )


def test_he_normal_is_truncated(convention):
    ours = keras.initializers.HeNormal(seed=1)
    uncut = np.sqrt(2 / IN) / CUT
    assert abs(torch_scale(kaiming, "normal") - np.sqrt(2 / IN)) < EXACT
    torch.manual_seed(0)
    twin = nn.init.trunc_normal_(torch.empty(OUT, IN), std=uncut, a=-2 * uncut, b=2 * uncut)
    plain = kaiming(torch.empty(OUT, IN))
    largest, cut, whole = (
        float(np.abs(w).max()) for w in map(np.asarray, (ours((IN, OUT)), twin, plain))
    )
    assert max(largest, cut) <= 2 * uncut < whole
    for w in (ours((IN, OUT)), twin, plain):
        assert abs(np.asarray(w).std() / np.sqrt(2 / IN) - 1) < 0.02
    convention(
        "`he_normal`, `kaiming_normal_`",
        keras="cut at 2 standard deviations, which are $1 / 0.8796$ of He's",
        torch="a plain Gaussian",
        rule="`trunc_normal_` with `std` divided by 0.8796 and `a`, `b` at 2 `std`",
        agreement=abs(keras_scale(ours, "truncated_normal") - uncut),
        naive=abs(largest - whole),
    )


def test_the_fans_are_read_from_the_shape(convention):
    right = torch_scale(kaiming, "normal")
    swapped = torch_scale(kaiming, "normal", shape=(IN, OUT))
    ours = keras_scale(keras.initializers.HeNormal(seed=1), "truncated_normal") * CUT
    assert (
        abs(torch_scale(lambda w: kaiming(w, mode="fan_out"), "normal", (IN, OUT)) - right) < EXACT
    )
    convention(
        "shape that an initializer gets",
        keras="(fan in, fan out)",
        torch="(fan out, fan in)",
        rule="transpose the kernel, or `mode='fan_out'`",
        agreement=abs(ours - right),
        naive=abs(ours - swapped),
    )


def test_fans_of_a_convolution(convention):
    shape = 3, 3, 16, 8
    right = torch_scale(kaiming, "normal", (8, 16, 3, 3))
    assert abs(right - np.sqrt(2 / (3 * 3 * 16))) < EXACT
    ours = keras_scale(keras.initializers.HeNormal(seed=1), "truncated_normal", shape) * CUT
    convention(
        "shape of a convolution that an initializer gets",
        keras="(height, width, in, out)",
        torch="(out, in, height, width)",
        rule="`permute(3, 2, 0, 1)` before the initializer; both take "
        "height x width x channels in for the fan in",
        agreement=abs(ours - right),
        naive=abs(ours - torch_scale(kaiming, "normal", shape)),
    )


def test_ten_layers_of_convolutions_take_the_same_steps():
    """The network of the lesson, its flattened channels in the order of PyTorch."""
    conv = keras.layers.Conv2D
    he = {"activation": "relu", "kernel_initializer": "he_normal"}
    ours = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *[conv(4, 3, strides=2, **he) for _ in range(2)],
            *[conv(4, 3, padding="same", **he) for _ in range(7)],
            keras.layers.Permute((3, 1, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer="he_normal"),
        ]
    )
    layers = [nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU()]
    layers += itertools.chain(*[(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(7)])
    theirs = nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, 3))
    copy_weights(ours, theirs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours.compile(keras.optimizers.SGD(2**-4), loss, run_eagerly=True)
    optimizer = torch.optim.SGD(theirs.parameters(), 2**-4)
    pictures = RNG.normal(size=(40, 28, 28, 1))
    for rows in batches(40, 10, epochs=2, seed=0):
        ours.train_on_batch(pictures[rows], Y[rows])
        optimizer.zero_grad()
        logits = theirs(torch.from_numpy(pictures[rows].transpose(0, 3, 1, 2)))
        nn.functional.cross_entropy(logits, torch.from_numpy(Y[rows])).backward()
        optimizer.step()
    assert largest_difference(ours, theirs) < EXACT


def test_lecun_is_not_the_gain_of_selu(convention):
    ours = keras_scale(keras.initializers.LecunNormal(seed=1), "truncated_normal") * CUT
    selu = torch_scale(lambda w: kaiming(w, "selu"), "normal")
    assert abs(selu / ours - 0.75) < EXACT
    convention(
        "initializer for SELU",
        keras="`lecun_normal`, variance $1 / \\text{fan}_{\\text{in}}$",
        torch="`nonlinearity='selu'` multiplies the standard deviation by 3/4",
        rule="`kaiming_normal_(w, nonlinearity='linear')`",
        agreement=abs(ours - torch_scale(lambda w: kaiming(w, "linear"), "normal")),
        naive=abs(ours - selu),
    )


def deep_pair():
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    ours = keras.Sequential([keras.Input((6,)), *[dense(6, "tanh") for _ in range(10)], dense(3)])
    torch.manual_seed(0)
    layers = list(itertools.chain(*[(nn.Linear(6, 6), nn.Tanh()) for _ in range(10)]))
    theirs = nn.Sequential(*layers, nn.Linear(6, 3))
    for layer in theirs[::2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return ours, theirs


def test_a_seed_is_not_a_start(convention):
    import tensorflow as tf

    ours, theirs = deep_pair()
    with tf.GradientTape() as tape:
        logits = ours(X)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, logits)
    grads = tape.gradient(loss, ours.trainable_variables)
    naive = largest_difference(logits, theirs(torch.from_numpy(X)))
    copy_weights(ours, theirs)
    copied = theirs(torch.from_numpy(X))
    nn.functional.cross_entropy(copied, torch.from_numpy(Y)).backward()
    twins = [p.grad.T if p.ndim == 2 else p.grad for p in theirs.parameters()]
    assert largest_difference(grads, twins) < EXACT
    convention(
        "random seed 0",
        keras="a place in the stream of Keras's generator",
        torch="a place in the stream of PyTorch's generator",
        rule="copy the weights",
        agreement=largest_difference(logits, copied),
        naive=naive,
    )


def in_keras(**clipping):
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((6,)), dense(5, "tanh"), dense(3)])
    set_weights(model, START)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(LR, **clipping), loss, run_eagerly=True)
    for rows in batches(len(Y), 10, epochs=5, seed=0):
        model.train_on_batch(X[rows], Y[rows])
    return model


def in_torch(clip, late=False):
    """Return the model after 20 steps; clip gets the parameters before the step (late: after)."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    set_weights(model, START)
    optimizer = torch.optim.SGD(model.parameters(), LR)
    for rows in batches(len(Y), 10, epochs=5, seed=0):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            model(torch.from_numpy(X[rows])), torch.from_numpy(Y[rows])
        )
        loss.backward()
        if not late:
            clip(list(model.parameters()))
        optimizer.step()
        if late:
            clip(list(model.parameters()))
    return model


def by_norm(parameters, limit=MAX_NORM):
    """Clip without the 1e-6 that `clip_grad_norm_` adds to the norm."""
    norm = torch.sqrt(sum(p.grad.square().sum() for p in parameters))
    for p in parameters:
        p.grad.mul_((limit / norm).clamp(max=1))


def test_clipnorm_is_per_variable(convention):
    ours = in_keras(clipnorm=MAX_NORM)

    def each(parameters):
        for p in parameters:
            by_norm([p])

    convention(
        "clipping by norm",
        keras="`clipnorm`: each variable by its own norm",
        torch="`clip_grad_norm_`: all variables by one norm",
        rule="Keras `global_clipnorm`, or one call of `clip_grad_norm_` per variable",
        agreement=max(
            largest_difference(ours, in_torch(each)),
            largest_difference(in_keras(global_clipnorm=MAX_NORM), in_torch(by_norm)),
        ),
        naive=largest_difference(ours, in_torch(by_norm)),
    )


def test_clip_grad_norm_adds_a_millionth_to_the_norm():
    ours = in_keras(global_clipnorm=MAX_NORM)
    theirs = in_torch(lambda p: nn.utils.clip_grad_norm_(p, MAX_NORM))
    assert EXACT < largest_difference(ours, theirs) < 1e-5


def test_clipvalue_and_the_place_of_the_call(convention):
    ours = in_keras(clipvalue=VALUE)

    def clip(parameters):
        nn.utils.clip_grad_value_(parameters, VALUE)

    convention(
        "place of the clipping",
        keras="argument of the optimizer (`clipvalue`, `global_clipnorm`): clips in every step",
        torch="a call that changes the gradients that are there at that moment",
        rule="call between `backward()` and `step()`",
        agreement=largest_difference(ours, in_torch(clip)),
        naive=largest_difference(ours, in_torch(clip, late=True)),
    )
    plain = in_torch(lambda parameters: None)
    assert largest_difference(in_torch(clip, late=True), plain) == 0


def test_a_shared_initializer_repeats_its_draw():
    shared = keras.initializers.HeNormal()
    first, second = shared((IN, OUT)), shared((IN, OUT))
    assert largest_difference(first, np.asarray(second)) == 0
    assert largest_difference(first, kaiming(torch.empty(OUT, IN)).T) > DIFFERENT


def test_formulas_of_the_exercises_are_the_scales_of_the_libraries(solution):
    std, limit = solution("he_std")(IN), solution("glorot_limit")(IN, OUT)
    assert (
        abs(keras_scale(keras.initializers.HeNormal(seed=1), "truncated_normal") * CUT - std)
        < EXACT
    )
    assert abs(torch_scale(kaiming, "normal") - std) < EXACT
    assert abs(torch_scale(nn.init.xavier_uniform_) - limit) < EXACT


def test_clipping_of_the_exercise_is_that_of_the_libraries(solution):
    clip = solution("clip_by_global_norm")

    def by_solution(parameters):
        for p, g in zip(
            parameters, clip([p.grad.numpy() for p in parameters], MAX_NORM), strict=True
        ):
            p.grad = torch.from_numpy(g)

    assert largest_difference(in_keras(global_clipnorm=MAX_NORM), in_torch(by_solution)) < EXACT


def test_gains_of_the_exercise_multiply_to_the_output_of_a_model(solution):
    ours, theirs = deep_pair()
    copy_weights(ours, theirs)
    kernels = weights(theirs)[:-2:2]
    with torch.no_grad():
        out = theirs[:-1](torch.from_numpy(X)).numpy()
    whole = np.sqrt((out**2).mean() / (X**2).mean())
    assert abs(np.prod(solution("layer_gains")(kernels, X)) - whole) < EXACT
