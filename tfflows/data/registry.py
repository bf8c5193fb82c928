"""The data sets of the papers, as data: where each comes from, its size and how its images are prepared.

A data set that differs in any pixel from a published one has a name of its own.
"""

import dataclasses
import difflib
import importlib
import numbers
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfflows.choices import RESIZES, SPLITS, did_you_mean

if TYPE_CHECKING:  # names are looked up without TensorFlow
    from tfflows.data.sources import ImageSource

CIFAR10_PAPER = "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images"
IMAGENET_PAPER = "Russakovsky et al. (2015), ImageNet Large Scale Visual Recognition Challenge"
LSUN_PAPER = "Yu et al. (2015), LSUN, arXiv:1506.03365"
CELEBA_PAPER = "Liu et al. (2015), Deep Learning Face Attributes in the Wild, arXiv:1411.7766"
CELEBA_HQ_PAPER = "Karras et al. (2018), Progressive Growing of GANs, arXiv:1710.10196"

FOLDER_PREFIX = "folder:"
TFDS_PREFIX = "tfds:"
NPZ_PREFIX = "npz:"
_OWN_MODULES = {"folder": "folders", "npz": "arrays", "any_tfds": "any_tfds"}
OWN_PREFIXES = (FOLDER_PREFIX, TFDS_PREFIX, NPZ_PREFIX)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Attributes:
      name: The name used everywhere: in arguments, results and errors.
      kind: How it is read: 'tfds', 'lmdb', 'embedded', or for images that no paper prepares 'folder', 'npz' or 'any_tfds'.
      origin: TFDS name (with its configuration), LMDB category, directory of a folder, or file.
      splits: From our name of a split to that of the stored split.
      num_images: From our name of a split to its number of images (the fingerprint); None where any number will do.
      image_size: Side of the images as delivered, in pixels; None where the files determine it.
      num_channels: Channels as delivered.
      num_classes: Number of classes, 0 if the set has no labels.
      class_names: Names of the classes in the order of the labels; empty if they have none.
      recipe: Key of the preparation (`tfflows.data.preprocessing`).
      image_sizes: The sides that the recipe can deliver besides `image_size`.
      random_crop: Whether each read takes a random crop (training and test alike).
      stored_range: From our name of a split to (first, last + 1) within the stored split; absent means all of it.
      source: Citation.
      prepare: The command or the steps that put the data set in place.
      notes: What a reader of results must know.
    """

    name: str
    kind: str
    origin: str
    splits: Mapping[str, str]
    num_images: Mapping[str, int] | None
    image_size: int | None
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    num_channels: int = 3
    recipe: str = "identity"
    image_sizes: tuple[int, ...] = ()
    random_crop: bool = False
    stored_range: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    source: str = ""
    prepare: str = ""
    notes: str = ""

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """`(height, width, channels)` as delivered; None if only the files know."""
        if self.image_size is None:
            return None
        return (self.image_size, self.image_size, self.num_channels)


def _tfds_command(origin: str) -> str:
    return f"run `tfds build {origin} --data_dir=DIRECTORY` on a machine with network access"


def _cifar10(name: str, image_size: int, recipe: str, notes: str = "") -> DatasetSpec:
    return DatasetSpec(
        name=name,
        kind="tfds",
        origin="cifar10",
        splits={"train": "train", "test": "test"},
        num_images={"train": 50_000, "test": 10_000},
        image_size=image_size,
        num_classes=10,
        class_names=CIFAR10_CLASSES,
        recipe=recipe,
        source=CIFAR10_PAPER,
        prepare=_tfds_command("cifar10"),
        notes=notes,
    )


def _downsampled_imagenet(image_size: int) -> DatasetSpec:
    origin = f"downsampled_imagenet/{image_size}x{image_size}"
    return DatasetSpec(
        name=f"imagenet{image_size}",
        kind="tfds",
        origin=origin,
        splits={"train": "train", "test": "validation"},
        num_images={"train": 1_281_149, "test": 49_999},
        image_size=image_size,
        source="van den Oord et al. (2016), Pixel Recurrent Neural Networks, arXiv:1601.06759",
        prepare=f"put train_{image_size}x{image_size}.tar and valid_{image_size}x{image_size}.tar "
        "of the old release into DIRECTORY/downloads/manual or a TFDS download cache (the original "
        "address http://image-net.org/small/ is gone), then " + _tfds_command(origin),
        notes="the old downsampled release (PixelRNN); the release of 2017 (Chrabaszcz et al.) has "
        "other pixels and is not comparable. The Glow paper's copy has 1,281,148 / 50,000: one "
        "training image had been moved to validation.",
    )


def _celeba(image_size: int) -> DatasetSpec:
    return DatasetSpec(
        name=f"celeba{image_size}",
        kind="tfds",
        origin="celeb_a",
        splits={"train": "train", "test": "test"},
        num_images={"train": 162_770, "test": 19_962},
        image_size=image_size,
        recipe="celeba_square",
        source=CELEBA_PAPER,
        prepare=_tfds_command("celeb_a"),
        notes="the central 148x148 of the aligned 178x218 images, one antialiased reduction: the arrays that the authors of "
        "Flow++ trained on are not available. CelebA's validation split is not used.",
    )


_LSUN_NUM_TRAIN = {"bedroom": 3_033_042, "tower": 708_264, "church_outdoor": 126_227}


def _lsun(category: str, image_size: int | None) -> DatasetSpec:
    short_name = category.removesuffix("_outdoor")
    likelihood = image_size is None
    return DatasetSpec(
        name=f"lsun_{short_name}" if likelihood else f"lsun_{short_name}_{image_size}",
        kind="lmdb",
        origin=category,
        splits={"train": "train", "test": "val"},
        num_images={"train": _LSUN_NUM_TRAIN[category], "test": 300},
        image_size=64 if likelihood else image_size,
        recipe="lsun_realnvp" if likelihood else "lsun_square",
        random_crop=likelihood,
        source=LSUN_PAPER,
        prepare=f"download http://dl.yf.io/lsun/scenes/{category}_train_lmdb.zip and "
        f"{category}_val_lmdb.zip and unpack both into DIRECTORY/lsun",
        notes="RealNVP recipe: short side reduced to 96, a random 64x64 crop at every read, in the "
        "300 test images too; the test crops here are a function of the seed."
        if likelihood
        else "centre square, one antialiased (Lanczos) reduction: for samples; no bits/dim is published.",
    )


_SPECS = (
    _cifar10("cifar10", 32, "identity"),
    _cifar10(
        "cifar10_16",
        16,
        "average_2x2",
        notes="CIFAR-10 averaged over 2x2 blocks, floor((a + b + c + d + 2) / 4): for studies on "
        "small machines; never to be reported as CIFAR-10.",
    ),
    _downsampled_imagenet(32),
    _downsampled_imagenet(64),
    DatasetSpec(
        name="imagenet32_labels",
        kind="tfds",
        origin="imagenet2012",
        splits={"train": "train", "test": "validation"},
        num_images={"train": 1_281_167, "test": 50_000},
        image_size=32,
        num_classes=1000,
        recipe="imagenet_pyramid",
        image_sizes=(64, 128, 256),
        source=IMAGENET_PAPER,
        prepare="put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into "
        "DIRECTORY/downloads/manual, then run `tfds build imagenet2012 --data_dir=DIRECTORY`",
        notes="centre square, bilinear to 256, then 2x2 box averages, floor (Glow's converter); "
        "not the pixels of imagenet32.",
    ),
    *(_celeba(size) for size in (64, 128)),
    *(_lsun(category, size) for size in (None, 96, 128) for category in _LSUN_NUM_TRAIN),
    DatasetSpec(
        name="celeba_hq",
        kind="tfds",
        origin="celeb_a_hq/256",
        splits={"train": "train", "test": "train"},
        num_images={"train": 27_000, "test": 3_000},
        stored_range={"train": (3_000, 30_000), "test": (0, 3_000)},
        image_size=256,
        recipe="average_box",
        image_sizes=(128, 64, 32),
        source=CELEBA_HQ_PAPER,
        prepare="put data256x256.tar into DIRECTORY/downloads/manual "
        "(https://github.com/tkarras/progressive_growing_of_gans), then run "
        "`tfds build celeb_a_hq/256 --data_dir=DIRECTORY`",
        notes="the first 3,000 stored records are the test split. The order is TFDS's, so these "
        "are not the same 3,000 images as in the files that Glow's authors published.",
    ),
    DatasetSpec(
        name="mnist",
        kind="tfds",
        origin="mnist",
        splits={"train": "train", "test": "test"},
        num_images={"train": 60_000, "test": 10_000},
        image_size=32,
        num_classes=10,
        class_names=DIGITS,
        recipe="mnist",
        source="LeCun et al. (1998), Gradient-based learning applied to document recognition",
        prepare=_tfds_command("mnist"),
        notes="padded with zeros to 32x32 and repeated to three channels, as in Glow's code.",
    ),
    DatasetSpec(
        name="photographs",
        kind="embedded",
        origin="sklearn.datasets.load_sample_images",
        splits={"train": "train", "test": "test"},
        num_images={"train": 1_242, "test": 230},
        image_size=32,
        num_classes=2,
        class_names=("china", "flower"),
        source="two photographs in scikit-learn, CC BY 2.0: china.jpg by danielbuechele, "
        "flower.jpg by vultilion (Flickr)",
        prepare="pip install 'tfflows[reproductions]'",
        notes="halved by 2x2 averages, 32x32 patches at stride 8; the label is the photograph.",
    ),
    DatasetSpec(
        name="digits",
        kind="embedded",
        origin="sklearn.datasets.load_digits",
        splits={"train": "train", "test": "test"},
        num_images={"train": 1_437, "test": 360},
        image_size=8,
        num_channels=1,
        num_classes=10,
        class_names=DIGITS,
        source="Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits (UCI), in scikit-learn",
        prepare="pip install 'tfflows[reproductions]'",
        notes="17 grey levels v stored as 15 v; distinct for num_bits >= 5.",
    ),
)

DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _SPECS}


def own_spec(name: str) -> DatasetSpec:
    """The spec of images that no paper prepares: `folder:DIRECTORY`, `tfds:NAME[:CONFIG]` or `npz:FILE`.

    Raises:
      ValueError: If nothing follows the prefix.
    """
    prefix = next(prefix for prefix in OWN_PREFIXES if name.startswith(prefix))
    origin = name.removeprefix(prefix)
    kind, form, prepare = {
        FOLDER_PREFIX: (
            "folder",
            "DIRECTORY",
            "put images into DIRECTORY, or into DIRECTORY/train and DIRECTORY/test (PNG, or another lossless format; one "
            "sub-directory for each class, or none)",
        ),
        TFDS_PREFIX: ("any_tfds", "NAME", _tfds_command(origin.replace(":", "/"))),
        NPZ_PREFIX: ("npz", "FILE", "save uint8 arrays with `np.savez(FILE, x_train=..., x_test=...)`"),
    }[prefix]
    if not origin:
        raise ValueError(f"{prefix} must be followed by what to read: {prefix}{form}.")
    return DatasetSpec(
        name=name,
        kind=kind,
        origin=origin.replace(":", "/") if kind == "any_tfds" else origin,
        splits={"train": "train", "test": "test"},
        num_images=None,
        image_size=None,
        source=origin,
        prepare=prepare,
    )


def is_own(name: str) -> bool:
    """Whether a name of a data set stands for images that no paper prepares, such as `folder:DIRECTORY`."""
    return name.startswith(OWN_PREFIXES)


def dataset_spec(name: str) -> DatasetSpec:
    """Looks up a data set.

    Args:
      name: A key of `DATASETS`, `folder:DIRECTORY`, `tfds:NAME[:CONFIG]` or `npz:FILE`.

    Raises:
      ValueError: If the name is unknown; the message lists the valid ones.

    Example:
      >>> from tfflows.data import dataset_spec
      >>> cifar10 = dataset_spec("cifar10")
      >>> print(cifar10.image_shape, cifar10.num_images["train"])
      (32, 32, 3) 50000
    """
    if not isinstance(name, str):
        raise ValueError(f"The name of a data set must be text, such as '{FOLDER_PREFIX}{name}', got {name!r}.")
    if is_own(name):
        return own_spec(name)
    if name not in DATASETS:
        raise ValueError(
            f"Unknown data set {name!r}.{_meant(name)} The valid ones are {', '.join(DATASETS)}, "
            f"{FOLDER_PREFIX}DIRECTORY, {TFDS_PREFIX}NAME[:CONFIG], {NPZ_PREFIX}FILE."
        )
    return DATASETS[name]


def _meant(name):
    """What an unknown name may have meant: another name, a mistyped prefix, or a path without one."""
    prefix, colon, origin = name.partition(":")
    if colon:
        near = {known.removesuffix(":"): known for known in OWN_PREFIXES} | {
            "npy": NPZ_PREFIX,
            "directory": FOLDER_PREFIX,
        }
        found = difflib.get_close_matches(prefix.lower(), near, n=1)
        return f" Did you mean {near[found[0]] + origin!r}?" if found else ""
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return f" Did you mean {FOLDER_PREFIX + name!r}?"
    if os.path.isfile(path) and path.endswith((".npz", ".npy")):
        return f" Did you mean {NPZ_PREFIX + name!r}?"
    return did_you_mean(name, DATASETS)


def short_name(name: str) -> str:
    """The name of a data set for a reader: of own images without the directories above them.

    Args:
      name: A key of `DATASETS`, `folder:DIRECTORY`, `tfds:NAME[:CONFIG]` or `npz:FILE`.

    Example:
      >>> from tfflows.data import short_name
      >>> short_name("folder:/home/me/my photos/"), short_name("cifar10")
      ('folder:my photos', 'cifar10')
    """
    prefix, colon, origin = name.partition(":")
    return f"{prefix}{colon}{origin.rstrip('/').rpartition('/')[2]}"


def canonical_name(name: str, data_dir: str | os.PathLike | None = None) -> str:
    """The one name of a data set: a folder or a file by its real path, by whatever path it is given; other names as they are.

    A path below `data_dir` is relative to it.

    Args:
      name: A key of `DATASETS`, `folder:DIRECTORY`, `tfds:NAME[:CONFIG]` or `npz:FILE`.
      data_dir: As for `load_dataset`.
    """
    spec = dataset_spec(name)
    if spec.kind not in ("folder", "npz"):
        return name
    real_path = _own_module(spec).real_path
    prefix = name.removesuffix(spec.origin)
    path = real_path(spec.origin, data_dir)
    if path is None:
        return name
    if data_dir is not None:
        base = os.path.realpath(os.path.expanduser(str(data_dir)))
        relative = os.path.relpath(path, base)
        if not relative.startswith(os.pardir) and real_path(relative, data_dir) == path:
            return f"{prefix}{relative}"
    return f"{prefix}{path}"


def stored_image_shape(name: str, data_dir: str | os.PathLike | None = None) -> tuple[int | None, int | None, int]:
    """The shape `(height, width, channels)` of the images of a data set as stored, sides None if they differ.

    Args:
      name: As for `load_dataset`.
      data_dir: As for `load_dataset`.

    Raises:
      DatasetNotFoundError: If the set is not there.
    """
    spec = dataset_spec(name)
    return _own_module(spec).image_shape(spec, data_dir) if is_own(name) else spec.image_shape


@dataclasses.dataclass(frozen=True)
class OwnImages:
    """How images that no paper prepares are read.

    Attributes:
      image_size: Side to which they are brought, in pixels; None where they stay as they are.
      resize: How, one of `tfflows.choices.RESIZES`.
      test_share: Expected share of test images, where there is no test split.
      strict: Whether to refuse what cannot be used, rather than to leave it out.
      in_order: Whether the first images are chosen where not all are asked for, and the last ones held out, in the order of paths
        and places; otherwise a hash of these chooses.
    """

    image_size: int | None = None
    resize: str = "none"
    test_share: float = 0.1
    strict: bool = False
    in_order: bool = False

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(
                f"resize must be one of {', '.join(RESIZES)}, got {self.resize!r}.{did_you_mean(self.resize, RESIZES)}"
            )
        _check_whole("image_size", self.image_size, 1)
        if not isinstance(self.test_share, numbers.Real) or not 0 < self.test_share < 1:
            raise ValueError(f"test_share must be a number between 0 and 1, got {self.test_share!r}.")


def _check_whole(name, value, least):
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")


def load_dataset(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
    max_images: int | None = None,
    attributes_file: str | os.PathLike | None = None,
    holdout: int | None = None,
    resize: str = "crop",
    test_share: float = 0.1,
    strict: bool = False,
    in_order: bool = False,
) -> "ImageSource":
    """Opens one split of a data set, prepared as its paper prepares it. Never downloads anything.

    Args:
      name: A key of `DATASETS`; or images that no paper prepares: `folder:DIRECTORY` (`tfflows.data.folders`),
        `tfds:NAME[:CONFIG]`, prepared by TFDS (`tfflows.data.any_tfds`), or `npz:FILE` (`tfflows.data.arrays`).
      split: 'train', 'test', or 'holdout' (the training images set aside by `holdout`).
      data_dir: The TFDS directory, or the one that holds the LMDB archives; default: $TFDS_DATA_DIR or ~/tensorflow_datasets.
        Embedded sets need none.
      image_size: Side in pixels; only sizes that the set's own recipe delivers. Images that no paper prepares are brought to any
        size, and without it stay as they are.
      max_images: Take only so many images of the split: the first ones, or in a folder or file of own images those that a hash of
        their paths chooses. The count is then not checked against the published one.
      attributes_file: CelebA's list_attr_celeba.txt, for `celeba_hq` only; image_list.txt (CelebA-HQ's index map) must lie beside
        it.
      holdout: Number of training images that 'train' leaves out and 'holdout' gives: the last ones, or in a folder or file of own
        images those that a hash of their paths chooses. Where there are validation images beside the test images, 'holdout' gives
        so many of these instead.
      resize: How images that no paper prepares are brought to `image_size`, see `tfflows.data.preprocessing.resize`.
      test_share: Share of the images that becomes the test split of images that no paper prepares and that come without one.
      strict: Whether to refuse a folder in which an image cannot be used, rather than to leave it out.
      in_order: Whether `max_images` and `holdout` take the first and the last of own images too, in the order of their paths.

    Returns:
      An `ImageSource`: in memory if the split decodes to at most 1 GiB, otherwise read on demand.

    Raises:
      ValueError: If the name or the split is unknown, the recipe cannot deliver the size, or images that no paper prepares cannot
        be used as they are.
      DatasetNotFoundError: If the set is not in `data_dir`; the message says how to prepare it.
      DatasetFingerprintError: If the number of images is not the published one.

    Example:
      >>> from tfflows.data import load_dataset
      >>> source = load_dataset("digits", "test", max_images=100)
      >>> print(source.num_images, source.image_shape, source.num_classes)
      100 (8, 8, 1) 10
    """
    spec = dataset_spec(name)
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r} of {name!r}; the valid ones are {', '.join(SPLITS)}.")
    if split == "holdout" and not holdout:
        raise ValueError("The split 'holdout' needs holdout=N, the number of training images to set aside.")
    _check_whole("holdout", holdout, 0)
    _check_whole("max_images", max_images, 1)
    own = OwnImages(image_size, "none" if image_size is None else resize, test_share, strict, in_order)
    if not is_own(name):
        image_size = _check_image_size(spec, image_size)
    if attributes_file is not None and name != "celeba_hq":
        raise ValueError(f"attributes_file is for celeba_hq, not for {name!r}.")
    source = _open(spec, split, data_dir, image_size, max_images, holdout, attributes_file, own)
    if is_own(name) and own.resize == "none" and image_size not in (None, *source.image_shape[:1]):
        raise ValueError(
            f"{name} has images of {'x'.join(map(str, source.image_shape[:2]))} pixels, not {image_size}; leave image_size out, "
            "or resize them."
        )
    return source


def _open(spec, split, data_dir, image_size, max_images, holdout, attributes_file, own):
    """The source of one split, by its kind. Each kind comes with what it imports: TFDS alone takes a third of a second."""
    if is_own(spec.name):
        return _own_module(spec).load(spec, split, data_dir, max_images, holdout, own)
    if spec.kind == "tfds":
        from tfflows.data import tfds_sets

        return tfds_sets.load(spec, split, data_dir, image_size, max_images, holdout, attributes_file)
    if spec.kind == "lmdb":
        from tfflows.data import lsun

        return lsun.load(spec, split, data_dir, max_images, holdout)
    from tfflows.data import embedded

    return embedded.load(spec, split, max_images, holdout)


def _own_module(spec):
    """The module that reads images that no paper prepares, by their kind."""
    return importlib.import_module(f"tfflows.data.{_OWN_MODULES[spec.kind]}")


def _check_image_size(spec: DatasetSpec, image_size: int | None) -> int | None:
    if image_size is None or image_size == spec.image_size:
        return spec.image_size
    if image_size not in spec.image_sizes:
        valid = ", ".join(str(size) for size in (spec.image_size, *spec.image_sizes))
        raise ValueError(f"{spec.name} is not defined at image size {image_size}; the valid ones are {valid}.")
    return image_size
