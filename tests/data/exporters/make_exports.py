"""What do Keras's exporter and skl2onnx write, and what does onnxruntime make of it?

Makes the ONNX files beside this one, with seeded random weights, and `outputs.npz`: for each file three inputs and
what onnxruntime computed for them in float32. Run it as `python tests/data/exporters/make_exports.py`.
Needs keras, torch, onnx, scikit-learn, skl2onnx and onnxruntime; the files were made by keras 3.15.1 on torch 2.13.0,
scikit-learn with skl2onnx 1.20.0 and onnxruntime 1.31.1.
"""

import os
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def keras_models():
    """Name, model and shape of one input."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import layers as kl

    keras.utils.set_random_seed(1)
    image = [kl.Conv2D(3, 3, activation="tanh"), kl.AveragePooling2D(2), kl.BatchNormalization(), kl.Flatten()]
    head = [kl.Dense(6, activation="gelu"), kl.Dense(3, activation="softmax")]
    yield "keras_cnn", keras.Sequential([keras.Input((8, 8, 1)), *image, *head]), (8, 8, 1)
    x = keras.Input((5,))
    both = kl.Concatenate()([kl.Dense(6, activation="silu")(x), kl.Dense(4, activation="mish")(x)])
    yield "keras_mlp", keras.Model(x, kl.Dense(2, activation="sigmoid")(both)), (5,)
    x = keras.Input((3, 6))
    yield "keras_attention", keras.Model(x, kl.Dense(2)(kl.MultiHeadAttention(2, 3)(x, x))), (3, 6)
    for name, layer in (("rnn", kl.SimpleRNN), ("lstm", kl.LSTM), ("gru", kl.GRU)):
        recurrent = layer(4, return_sequences=True)
        yield f"keras_{name}", keras.Sequential([keras.Input((2, 3)), recurrent, kl.Dense(2)]), (2, 3)


def sklearn_models():
    """Name, fitted model and inputs."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    two = (x[:, 0] > 0).astype(int)
    three = two + (x[:, 1] > 0.5)
    tanh = {"activation": "tanh", "max_iter": 50, "random_state": 0}
    yield "sklearn_regressor", MLPRegressor(hidden_layer_sizes=(5, 4), **tanh).fit(x, x[:, :2] ** 2), x
    logistic = tanh | {"activation": "logistic"}
    yield "sklearn_two_classes", MLPClassifier(hidden_layer_sizes=(5,), **logistic).fit(x, two), x
    scaled = make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(5, 3), **tanh))
    yield "sklearn_three_classes", scaled.fit(x, three), x


def runtime_outputs(path, shape):
    """Three inputs and the output of floats (the last one) for each."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(7).normal(size=(3, *shape)).astype(np.float32)
    outputs = [session.run(None, {session.get_inputs()[0].name: row[None]})[-1] for row in x]
    outputs = [list(y[0].values()) if isinstance(y, list) else y for y in outputs]  # probabilities by class
    return x.reshape(3, -1), np.array([np.ravel(y) for y in outputs])


def main() -> None:
    from skl2onnx import to_onnx

    results = {}
    for name, model, shape in keras_models():
        path = HERE / f"{name}.onnx"
        model(np.zeros((1, *shape), dtype="float32"))
        model.export(path, format="onnx", verbose=False)
        results[f"{name}_x"], results[f"{name}_y"] = runtime_outputs(path, shape)
    for name, model, x in sklearn_models():
        path = HERE / f"{name}.onnx"
        path.write_bytes(to_onnx(model, x[:1]).SerializeToString())
        results[f"{name}_x"], results[f"{name}_y"] = runtime_outputs(path, x.shape[1:])
    np.savez_compressed(HERE / "outputs.npz", **results)


if __name__ == "__main__":
    main()
