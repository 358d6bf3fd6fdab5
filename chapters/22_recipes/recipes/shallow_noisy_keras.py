import keras
import tensorflow as tf
from keras import layers


def hidden(units):
    """The plain layer with dropout against wrong labels: try 0.1, 0.2 and 0.4."""
    return [layers.Dense(units, activation="relu"), layers.Dropout(0.2)]


def fit(x_train, y_train, x_dev, y_dev, depth=2, units=64, rate=0.003, epochs=20):
    """Inputs are floats, labels 0, 1, 2, ...; choose the rate on dev rows."""
    batches = tf.data.Dataset.from_tensor_slices((x_train, y_train))
    batches = batches.shuffle(len(x_train)).batch(50)  # a new order in every epoch
    scale = layers.Normalization(axis=None)  # for a table: layers.Normalization()
    scale.adapt(x_train)  # on the training rows alone
    stack = [layer for _ in range(depth) for layer in hidden(units)]
    output = layers.Dense(int(y_train.max()) + 1)
    model = keras.Sequential([scale, layers.Flatten(), *stack, output])
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
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
