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


def hidden(units):
    """LeCun's start, SELU, alpha dropout: try 0.02, 0.05 and 0.1."""
    dense = layers.Dense(units, kernel_initializer="lecun_normal", activation="selu")
    return [dense, layers.AlphaDropout(0.05)]


def fit(x_train, y_train, x_dev, y_dev, depth=8, units=64, peak=0.03, epochs=20):
    """Inputs are floats, labels 0, 1, 2, ...; choose the peak on dev rows."""
    batches = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    batches = batches.shuffle(len(x_train)).batch(50)  # a new order in every epoch
    scale = layers.Normalization(axis=None)  # for a table: layers.Normalization()
    scale.adapt(x_train)  # on the training rows alone
    stack = [layer for _ in range(depth) for layer in hidden(units)]
    output = layers.Dense(int(y_train.max()) + 1, kernel_initializer="lecun_normal")
    model = keras.Sequential([scale, layers.Flatten(), *stack, output])
    rate = OneCycle(peak, epochs * len(batches))
    model.compile(
        optimizer=keras.optimizers.SGD(rate, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    best = keras.callbacks.EarlyStopping(  # keeps the best epoch
        "val_accuracy", mode="max", patience=epochs, restore_best_weights=True
    )
    model.fit(
        batches,
        validation_data=(x_dev, y_dev),
        epochs=epochs,
        callbacks=[best],
        shuffle=False,  # the data set shuffles
        verbose=0,
    )
    return model
