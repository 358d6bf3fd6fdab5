import math

import keras
import tensorflow as tf
from keras import layers


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """PyTorch's OneCycleLR: up for 30 % of the steps, then down to 0."""

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        step = keras.ops.cast(step, keras.config.floatx())
        top = 0.3 * self.steps - 1
        up = step / top
        down = (step - top) / (self.steps - 1 - top)
        wave = keras.ops.where(step < top, 1 - up, down)
        low = keras.ops.where(step < top, self.peak / 25, self.peak / 250_000)
        return low + (self.peak - low) * (1 + keras.ops.cos(math.pi * wave)) / 2


class Shrink(keras.constraints.Constraint):
    """Moves every weight towards 0 after each step: L1 with true zeros."""

    def __init__(self, strength, optimizer):
        self.strength, self.optimizer = strength, optimizer

    def __call__(self, w):
        return keras.ops.soft_shrink(w, self.strength * self.optimizer.learning_rate)


def hidden(units, shrink):
    """He's start, batch norm instead of a bias, ELU; many weights become 0."""
    he = {"kernel_initializer": "he_normal", "kernel_constraint": shrink}
    dense = layers.Dense(units, use_bias=False, **he)
    norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    return [dense, norm, layers.ELU()]


def fit(x_train, y_train, x_dev, y_dev, depth=8, units=64, peak=0.5, epochs=20):
    """Inputs are floats, labels 0, 1, 2, ...; choose the peak on dev rows."""
    batches = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    batches = batches.shuffle(len(x_train)).batch(50)  # a new order in every epoch
    scale = layers.Normalization(axis=None)  # for a table: layers.Normalization()
    scale.adapt(x_train)  # on the training rows alone
    rate = OneCycle(peak, epochs * len(batches))
    optimizer = keras.optimizers.SGD(rate)  # momentum would push weights off 0 again
    shrink = Shrink(0.005, optimizer)  # stronger: more zeros; watch the dev accuracy
    stack = [layer for _ in range(depth) for layer in hidden(units, shrink)]
    output = layers.Dense(int(y_train.max()) + 1, kernel_constraint=shrink)
    model = keras.Sequential([scale, layers.Flatten(), *stack, output])
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        batches,
        validation_data=(x_dev, y_dev),
        epochs=epochs,
        shuffle=False,  # the data set shuffles
        verbose=0,
    )
    return model
