"""Well-known data sets: the shape of their images, and their classes in the order of labels."""

from __future__ import annotations

from typing import NamedTuple


class NamedSet(NamedTuple):
    """Height, width and channels of the images as published; class names in label order."""

    shape: tuple[int, int, int]
    class_names: tuple[str, ...]


_DIGITS = tuple("0123456789")

# Sources: the `label_names` of cifar-10-batches-py/batches.meta, the `fine_label_names` of
# cifar-100-python/meta, and the README of github.com/zalandoresearch/fashion-mnist.
NAMED_SETS = {
    "cifar10": NamedSet(
        (32, 32, 3),
        (
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
    ),
    "cifar100": NamedSet(
        (32, 32, 3),
        (
            *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle"),
            *("bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel"),
            *("can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud"),
            *("cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin"),
            *("elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo"),
            *("keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man"),
            *("maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange"),
            *("orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain"),
            *("plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road"),
            *("rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail"),
            *("snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table"),
            *("tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip"),
            *("turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"),
        ),
    ),
    "mnist": NamedSet((28, 28, 1), _DIGITS),
    "fashion-mnist": NamedSet(
        (28, 28, 1),
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
}
