"""Both frameworks in float64, where agreement is a matter of formulas and not of rounding."""

import pytest


@pytest.fixture
def float64():
    """Let Keras and PyTorch compute in float64 during a test, and restore both afterwards.

    Keras still passes Python floats (rates, momentum, epsilon) through float32: use numbers
    that float32 holds exactly, such as 0.125 or 2**-10.
    """
    import keras
    import torch

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    dtype = torch.get_default_dtype()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # it keeps the first floatx that it saw
    torch.set_default_dtype(torch.float64)
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    torch.set_default_dtype(dtype)
