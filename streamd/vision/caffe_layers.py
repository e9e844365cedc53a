"""One Caffe layer's settings, read with their defaults from the net's description."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import ModelError
from streamd.vision.caffe import Message, read_description


@dataclass(frozen=True, slots=True)
class Settings:
    """The scalars of one message."""

    message: Message

    def number(self, key: str, default: float | None = None) -> float:
        found = self.numbers(key)
        if found:
            return found[0]
        if default is None:
            raise ModelError(f"prototxt: a layer has no '{key}'")
        return default

    def integer(self, key: str, default: int | None = None) -> int:
        return int(self.number(key, default))

    def numbers(self, key: str) -> list[float]:
        return [float(value) for value in self.message.get(key, []) if isinstance(value, (int, float))]

    def texts(self, key: str) -> list[str]:
        return [value for value in self.message.get(key, []) if isinstance(value, str)]

    def flag(self, key: str, default: bool) -> bool:
        values = self.message.get(key)
        return values[0] is True if values else default

    def nested(self, key: str) -> Settings:
        """The message under ``key``; empty where there is none, so that its defaults hold."""
        for value in self.message.get(key, []):
            if isinstance(value, dict):
                return Settings(value)
        return Settings({})


@dataclass(frozen=True, slots=True)
class Layer:
    """One step of a net."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    top: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Net:
    """The steps in order, and the shape of what goes in."""

    input_name: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]


def read_net(text: str) -> Net:
    """The net that a ``.prototxt`` describes.

    Raises:
        ModelError: it is not such a text, or has no input or no layer.
    """
    net = Settings(read_description(text))
    layers = tuple(_layer(Settings(value)) for value in net.message.get("layer", []) if isinstance(value, dict))
    shape = tuple(int(dim) for dim in net.nested("input_shape").numbers("dim"))
    names = net.texts("input")
    if not layers or len(shape) != 4 or len(names) != 1:
        raise ModelError("prototxt: needs layers and one input with an input_shape of four")
    return Net(names[0], shape, layers)


def _layer(layer: Settings) -> Layer:
    names, kinds, tops = layer.texts("name"), layer.texts("type"), layer.texts("top")
    if not names or not kinds or not tops:
        raise ModelError(f"prototxt: a layer lacks name, type or top: {names or kinds or tops}")
    return Layer(names[0], kinds[0], tuple(layer.texts("bottom")), tops[0], layer)
