"""The generated page of lossless compression: a table of the records, and a plot."""

import json
import pathlib
from collections.abc import Sequence

from reproductions.reporting.markdown import lines_table, page
from reproductions.reporting.plots import new_figure, save_figure
from reproductions.reporting.provenance import short_commit
from tfflows.data import short_name

COMPRESSION_DIRECTORY = "compression"
PAGE = "compression.md"
FIGURE = "figures/compression.png"

_INTRO = (
    "Test images in one file of `tfflows compress`, measured by `tfflows bench-compression`, in bits a colour value (bits/dim). "
    "*File* is everything: the coder's words, initial noise, header, check words. *Net* is the coder alone, without initial "
    "noise. *At the noise* is what the model says of the same images dequantized with the same noise, so that net over it is "
    "what the integers cost. *Model's bits/dim* are its bound with noise of its own. PNG, WebP (method 6) and JPEG XL (efforts 7 "
    "and 9) are lossless, a file an image, with all that is in such a file; small images pay most for that. Times depend on the "
    "machine and its load, which is given."
)
_COLUMNS = 4  # of the figure
_CODERS = {"png": "PNG", "webp": "WebP", "jpegxl7": "JPEG XL 7", "jpegxl9": "JPEG XL 9"}


def load_compression(directory: str | pathlib.Path) -> list[dict]:
    """Returns the records of a directory, by the names of their files."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(pathlib.Path(directory).glob("*.json"))]


def compression_page(records: Sequence[dict]) -> str:
    """Returns the page.

    Args:
      records: Records of `tfflows bench-compression`.
    """
    sections = [("", _INTRO), ("Rates", lines_table([_rates(record) for record in records]))]
    sections += [("", f"![Bits/dim of the coders]({FIGURE})")]
    sections += [("Times", lines_table([_times(record) for record in records]))]
    sections += [("Origin", "\n".join(_origin(record) for record in records))]
    return page("Lossless compression", sections)


def draw_compression(records: Sequence[dict], directory: str | pathlib.Path) -> pathlib.Path:
    """Draws the rates of each record as bars, and returns the path of the figure in a results directory."""
    num_columns = min(_COLUMNS, len(records))
    num_rows = -(-len(records) // num_columns)
    figure = new_figure(1.5 + 3.5 * num_columns, 3.5 * num_rows)
    axes = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axis in axes[len(records) :]:
        axis.set_axis_off()
    for axis, record in zip(axes, records, strict=False):
        bars = {name: record[f"{key}_bits_per_dim"] for key, name in _CODERS.items() if f"{key}_bits_per_dim" in record}
        bars[record["model"]] = record["file_bits_per_dim"]
        places = axis.barh(list(bars), list(bars.values()), color=["0.7"] * (len(bars) - 1) + ["C0"])
        axis.bar_label(places, fmt="%.3f", padding=2)
        axis.set(title=f"{record['num_images']:,} of {short_name(record['dataset'])}", xlabel="bits/dim")
        axis.set_xlim(0, 1.2 * max(bars.values()))
    return save_figure(figure, pathlib.Path(directory) / FIGURE)


def _rates(record):
    net, at_noise = record["net_bits_per_dim"], record["model_at_noise_bits_per_dim"]
    line = {
        "Model": record["model"],
        "Data set": short_name(record["dataset"]),
        "Images": record["num_images"],
        "Exact": record["num_exact"],
        "File": f"{record['file_bits_per_dim']:.4f}",
        "Net": f"{net:.4f}",
        "At the noise": None if at_noise is None else f"{at_noise:.4f}",
        "Net over it": None if at_noise is None else f"{100 * (net / at_noise - 1):+.3f}%",
        "Model's bits/dim": f"{record['model_bits_per_dim']:.4f}",
        "File over it": f"{100 * (record['file_bits_per_dim'] / record['model_bits_per_dim'] - 1):+.2f}%",
    }
    coders = {name: record.get(f"{key}_bits_per_dim") for key, name in _CODERS.items()}
    return line | {name: None if rate is None else f"{rate:.3f}" for name, rate in coders.items()}


def _times(record):
    return {
        "Model": record["model"],
        "Data set": short_name(record["dataset"]),
        "Images": record["num_images"],
        "Encode, s an image": f"{record['seconds_to_encode']:.3f}",
        "Decode, s an image": f"{record['seconds_to_decode']:.3f}",
        "Start, s": f"{record['seconds_to_build']:.1f}",
        "Images at once": record["max_batch"],
        "Noise bits of the images": ", ".join(map(str, record["noise_ramp"])),
        "Initial bits, of one image's values": f"{record['initial_bits_per_dim']:.2f}",
        "Stored as they are": record["num_raw"],
        "Load before": f"{record['load_average'][0]:.1f}",
    }


def _origin(record):
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    hardware = record["hardware"]
    return (
        f"- {record['model']}, step {record['step']:,}: `{record['command']}` on {hardware['cpu']}, {hardware['cores']} cores, "
        f"{record['date'][:10]}, commit {short_commit(record['commit'])}; {versions}."
    )
