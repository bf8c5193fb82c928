"""Draws the figure of each paper: `python docs/papers/draw_figures.py` writes docs/papers/*.svg."""

import pathlib
from collections.abc import Sequence

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

DIRECTORY = pathlib.Path(__file__).parent
DATA, FLOW, NOISE, NETWORK, LINE = "#dbe7f6", "#fde8c8", "#dff0dc", "#efe1f3", "#444444"


def canvas(width: float, height: float) -> Axes:
    """Returns axes without frame of so many units, 60 points each."""
    plt.rcParams.update(
        {"font.family": "DejaVu Sans", "font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "tfflows"}
    )
    figure, axes = plt.subplots(figsize=(width * 60 / 72, height * 60 / 72))
    figure.subplots_adjust(0, 0, 1, 1)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_aspect("equal")
    axes.axis("off")
    return axes


def box(axes: Axes, x: float, y: float, text: str, color: str, width: float = 1.5, height: float = 0.5) -> None:
    """Draws a rounded box with its center at (x, y)."""
    corner = (x - width / 2, y - height / 2)
    shape = FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.08", facecolor=color, edgecolor=LINE)
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center")


def arrow(axes: Axes, start: Sequence[float], end: Sequence[float], text: str = "", both: bool = False) -> None:
    """Draws an arrow, with a text beside its middle."""
    style = {"arrowstyle": "<->" if both else "->", "color": LINE, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)
    if text:
        axes.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.13, text, ha="center", va="bottom", fontsize=8)


def grid(axes: Axes, left: float, bottom: float, colors: Sequence[Sequence[str]], side: float = 0.22) -> None:
    """Draws squares, the first row on top."""
    for row, line in enumerate(colors):
        for column, color in enumerate(line):
            corner = (left + column * side, bottom + (len(colors) - 1 - row) * side)
            axes.add_patch(Rectangle(corner, side, side, facecolor=color, edgecolor=LINE, linewidth=0.6))


def chain(axes: Axes, y: float, boxes: Sequence[tuple[str, str]], left: float = 1.0, step: float = 1.95) -> None:
    """Draws boxes from left to right, joined by arrows that go both ways."""
    for place, (text, color) in enumerate(boxes):
        box(axes, left + place * step, y, text, color)
        if place:
            arrow(axes, (left + (place - 1) * step + 0.75, y), (left + place * step - 0.75, y), both=True)


def realnvp() -> None:
    """Masks of the couplings, and the scale at which half of the numbers leaves."""
    axes = canvas(9.8, 2.9)
    checkered = [[NOISE if (row + column) % 2 else FLOW for column in range(4)] for row in range(4)]
    other = [[FLOW if (row + column) % 2 else NOISE for column in range(4)] for row in range(4)]
    for left, colors in ((0.3, checkered), (1.5, other), (2.7, checkered)):
        grid(axes, left, 1.45, colors)
    axes.text(1.94, 2.5, "3 couplings on a checkerboard", ha="center")
    arrow(axes, (3.75, 1.89), (4.6, 1.89), "squeeze")
    for left, half in ((4.8, 0), (6.0, 1), (7.2, 0)):
        for layer in range(4):
            color = FLOW if (layer < 2) == (half == 0) else NOISE
            grid(axes, left + 0.1 * layer, 1.45 + 0.1 * layer, [[color] * 2] * 2)
    axes.text(6.5, 2.5, "3 couplings by channels", ha="center")
    arrow(axes, (8.15, 1.89), (8.75, 1.89))
    box(axes, 9.25, 2.15, "next scale", DATA, width=1.0, height=0.4)
    box(axes, 9.25, 1.6, "noise", NOISE, width=1.0, height=0.4)
    grid(axes, 0.3, 0.55, [[FLOW]])
    axes.text(0.62, 0.66, "kept: the network reads them", va="center")
    grid(axes, 4.3, 0.55, [[NOISE]])
    axes.text(4.62, 0.66, "transformed: x' = exp(s) x + t", va="center")
    save(axes, "realnvp")


def glow() -> None:
    """A step of flow, and where it stands in the multi-scale architecture."""
    axes = canvas(9.8, 3.1)
    chain(
        axes,
        2.5,
        [("image x", DATA), ("squeeze", FLOW), ("K steps of flow", FLOW), ("split", FLOW), ("next level", DATA)],
    )
    arrow(axes, (6.85, 2.25), (6.85, 1.85), both=True)
    box(axes, 6.85, 1.6, "noise z", NOISE)
    axes.plot(
        [4.15, 0.25, 0.25, 5.85, 5.85, 5.65],
        [2.25, 2.0, 0.15, 0.15, 2.0, 2.25],
        color=LINE,
        linewidth=0.6,
        linestyle=":",
    )
    box(axes, 1.15, 1.35, "actnorm", FLOW, width=1.4)
    box(axes, 3.0, 1.35, "invertible\n1x1 convolution", FLOW, width=1.6)
    box(axes, 4.95, 1.35, "affine coupling", FLOW, width=1.5)
    arrow(axes, (1.85, 1.35), (2.2, 1.35), both=True)
    arrow(axes, (3.8, 1.35), (4.2, 1.35), both=True)
    axes.text(1.15, 0.75, "s * x + b\nper channel", ha="center", va="center", fontsize=8)
    axes.text(3.0, 0.75, "W x at each pixel,\nW is learned", ha="center", va="center", fontsize=8)
    axes.text(4.95, 0.75, "one half of the channels\ngiven the other", ha="center", va="center", fontsize=8)
    axes.text(0.4, 0.3, "one step of flow", fontsize=8, va="center", style="italic")
    save(axes, "glow")


def flowpp() -> None:
    """Learned dequantization, then couplings of mixtures with attention."""
    axes = canvas(9.8, 3.1)
    box(axes, 1.0, 2.4, "image x\n(whole numbers)", DATA)
    arrow(axes, (1.75, 2.4), (2.75, 2.4), "+ noise u")
    box(axes, 3.5, 2.4, "x + u", DATA)
    arrow(axes, (4.25, 2.4), (5.05, 2.4), both=True)
    box(axes, 6.2, 2.4, "couplings: logit of a mixture's\ndistribution function", FLOW, width=2.3, height=0.6)
    arrow(axes, (7.35, 2.4), (8.0, 2.4), both=True)
    box(axes, 8.75, 2.4, "noise z", NOISE)
    box(axes, 2.25, 1.1, "dequantizer r(u | x):\na flow, given x", NETWORK, width=2.0, height=0.6)
    arrow(axes, (1.0, 2.15), (1.6, 1.4))
    arrow(axes, (2.5, 1.4), (3.2, 2.15), "")
    axes.text(3.25, 1.75, "u", va="center")
    box(axes, 6.2, 1.1, "network: gated convolutions\nand self-attention", NETWORK, width=2.4, height=0.6)
    arrow(axes, (6.2, 1.4), (6.2, 2.1))
    axes.text(6.3, 1.75, "weights, means, scales", va="center", fontsize=8)
    axes.text(2.25, 0.5, "ln P(x) is at least E[ln p(x + u) - ln r(u | x)]", ha="center", fontsize=8, style="italic")
    save(axes, "flowpp")


def macow() -> None:
    """What the pixel of a masked convolution sees, in the four orders of the released variant, and the order of a unit."""
    axes = canvas(9.8, 3.0)
    titles = ("rows, down", "rows, up", "columns, right", "columns, left")

    def color(order: int, row: int, column: int) -> str:
        if (row, column) == (2, 2):
            return NOISE
        ahead = (2 - row, row - 2, 2 - column, column - 2)[order]
        aside = (column, column, row, row)[order]
        return FLOW if 1 <= ahead <= 2 and abs(aside - 2) <= 2 else "white"

    for order, title in enumerate(titles):
        left = 0.35 + 1.75 * order
        grid(axes, left, 1.35, [[color(order, row, column) for column in range(5)] for row in range(5)], side=0.25)
        axes.text(left + 0.625, 2.72, title, ha="center", fontsize=8)
    grid(axes, 0.35, 0.75, [[NOISE]])
    axes.text(0.67, 0.86, "the pixel that is transformed", va="center")
    grid(axes, 4.2, 0.75, [[FLOW]])
    axes.text(4.52, 0.86, "what its network reads", va="center")
    box(axes, 8.6, 2.55, "4 masked\nconvolutions", FLOW, width=1.8)
    box(axes, 8.6, 1.75, "actnorm, 1x1\nconvolution", FLOW, width=1.8)
    box(axes, 8.6, 0.95, "coupling", FLOW, width=1.8)
    arrow(axes, (8.6, 2.3), (8.6, 2.0), both=True)
    arrow(axes, (8.6, 1.5), (8.6, 1.2), both=True)
    rule = "A line of pixels at a time: sampling takes as many steps as the image has rows or columns."
    axes.text(0.35, 0.35, rule, fontsize=8, style="italic")
    save(axes, "macow")


def vflow() -> None:
    """Channels beside the image, their distribution, and the flow of both."""
    axes = canvas(9.8, 2.9)
    box(axes, 1.1, 2.2, "image x\n(3 channels)", DATA)
    box(axes, 1.1, 0.9, "noise e", NOISE)
    box(axes, 3.6, 0.9, "q(z | x): a flow,\ngiven x", NETWORK, width=1.8, height=0.6)
    arrow(axes, (1.85, 0.9), (2.7, 0.9), both=True)
    arrow(axes, (1.5, 1.95), (2.9, 1.2))
    arrow(axes, (4.5, 0.9), (5.15, 1.25))
    arrow(axes, (1.85, 2.2), (5.15, 1.85))
    box(axes, 5.9, 1.55, "[x, z]\n(6 channels)", DATA, height=0.7)
    arrow(axes, (6.65, 1.55), (7.15, 1.55), both=True)
    box(axes, 7.75, 1.55, "flow, twice\nas wide", FLOW, width=1.2, height=0.7)
    arrow(axes, (8.35, 1.55), (8.75, 1.55), both=True)
    box(axes, 9.2, 1.55, "noise", NOISE, width=0.9)
    axes.text(4.9, 0.25, "ln p(x) is at least E[ln p(x, z) - ln q(z | x)]", ha="center", fontsize=8, style="italic")
    save(axes, "vflow")


def agave() -> None:
    """The autoencoder, its auxiliary image, and the pixels given it."""
    axes = canvas(9.8, 2.9)
    for x, text, color in (
        (0.9, "image x", DATA),
        (2.85, "encoder\nq(z | x), IAF", NETWORK),
        (4.75, "latents z", NOISE),
        (6.6, "decoder f", NETWORK),
        (8.6, "auxiliary\nimage f(z)", DATA),
    ):
        box(axes, x, 2.3, text, color, width=1.3, height=0.6)
    for start, end in ((1.55, 2.2), (3.5, 4.1), (5.4, 5.95), (7.25, 7.95)):
        arrow(axes, (start, 2.3), (end, 2.3))
    arrow(axes, (8.6, 2.0), (8.6, 1.3))
    box(axes, 8.6, 1.0, "PixelCNN++", NETWORK, width=1.5, height=0.6)
    arrow(axes, (7.85, 1.0), (6.9, 1.0))
    box(axes, 5.6, 1.0, "p(pixel | pixels before, f(z))", FLOW, width=2.5, height=0.6)
    axes.text(8.6, 0.35, "reads the pixels before", ha="center", fontsize=8, style="italic")
    axes.text(0.3, 1.2, "loss: the bound on ln P(x), and lambda times how well f(z)\n"
              "alone predicts a smaller copy of x, so that z is used", fontsize=8, style="italic", va="center")  # fmt: skip
    save(axes, "agave")


def save(axes: Axes, name: str) -> None:
    """Writes the figure and closes it."""
    axes.figure.savefig(DIRECTORY / f"{name}.svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    plt.close(axes.figure)


if __name__ == "__main__":
    for draw in (realnvp, glow, flowpp, macow, vflow, agave):
        draw()
