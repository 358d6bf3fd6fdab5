"""Where the libraries' optimizers differ under equal arguments, in float64.

Both take the same 20 gradients from equal weights, so nothing but the update rule can differ.
"""

import keras
import numpy as np
import pytest
import torch

from regbook.pairs import largest_difference

LR, BETAS, EPS = 2**-6, (0.875, 0.96875), 2**-10
GRADIENTS = np.random.default_rng(0).normal(scale=1e-2, size=(20, 7))

pytestmark = pytest.mark.usefixtures("float64")


def in_keras(optimizer):
    w = keras.Variable(np.ones(7))
    for gradient in GRADIENTS:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [w])
    return w


def in_torch(optimizer, **options):
    """Return the weights after 20 steps; an option that is a function is called with the step."""
    w = torch.nn.Parameter(torch.ones(7))
    steps = optimizer([w])
    for t, gradient in enumerate(GRADIENTS, 1):
        steps.param_groups[0].update({name: value(t) for name, value in options.items()})
        w.grad = torch.from_numpy(gradient)
        steps.step()
    return w


def test_epsilon_of_adam_is_added_before_the_correction_in_keras(convention):
    ours = in_keras(keras.optimizers.Adam(LR, *BETAS, epsilon=EPS))

    def adam(parameters):
        return torch.optim.Adam(parameters, LR, BETAS, EPS)

    corrected = in_torch(adam, eps=lambda t: EPS / np.sqrt(1 - BETAS[1] ** t))
    convention(
        "`epsilon` of Adam",
        keras="added before the correction for the start; 1e-7 by default",
        torch="added after it; 1e-8 by default",
        rule="`eps_torch = eps_keras / sqrt(1 - beta_2**t)` in step `t`",
        agreement=largest_difference(ours, corrected),
        naive=largest_difference(ours, in_torch(adam)),
    )


def test_nadam_decays_its_momentum_at_another_pace(convention):
    tiny = 2.0**-60  # so that the place of epsilon does not matter
    ours = in_keras(keras.optimizers.Nadam(LR, *BETAS, epsilon=tiny))
    quick, default = (
        in_torch(lambda p, d=decay: torch.optim.NAdam(p, LR, BETAS, tiny, momentum_decay=d))
        for decay in (1.0, 4e-3)
    )
    convention(
        "Nadam's momentum",
        keras="decays as `0.96**t`",
        torch="decays as `0.96**(t * momentum_decay)`, 0.004 by default",
        rule="`NAdam(momentum_decay=1.0)`",
        agreement=largest_difference(ours, quick),
        naive=largest_difference(ours, default),
    )


def test_epsilon_of_rmsprop_is_under_the_root_in_keras(convention):
    ours = in_keras(keras.optimizers.RMSprop(LR, rho=BETAS[0], epsilon=EPS))
    w, average = np.ones(7), np.zeros(7)
    for gradient in GRADIENTS:
        average = BETAS[0] * average + (1 - BETAS[0]) * gradient**2
        w = w - LR * gradient / np.sqrt(average + EPS)
    naive = in_torch(lambda p: torch.optim.RMSprop(p, LR, alpha=BETAS[0], eps=EPS))
    convention(
        "`epsilon` of RMSprop",
        keras="under the root: `sqrt(v + eps)`",
        torch="behind it: `sqrt(v) + eps`",
        rule="none by arguments; they meet as `eps` goes to 0 (here: Keras's rule by hand)",
        agreement=largest_difference(ours, w),
        naive=largest_difference(ours, naive),
    )
