"""The slice store: Blosc2 shards of 2D slices with one Parquet table beside them.

    <dir>/slices.parquet          one row a slice (schema: SLICES)
    <dir>/rejects.csv             one row a volume that was refused, with its reason
    <dir>/<shard>.image.b2nd      int16 HU   [N, H, W], one slice a chunk, LZ4HC + shuffle
    <dir>/<shard>.label.b2nd      uint8 ids  [N, H, W], the same without the shuffle

A patient's slices always lie in the same shard, so one changed patient changes one shard. A shard's name ends in
its slices' shape ("003-512x512"), so that scans of several sizes need no padding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import blosc2
import numpy as np
import pandas as pd
import pandera.pandas as pa

from corpus.errors import InputError
from corpus.files import file_sha256

TABLE, REJECTS, SHA256 = "slices.parquet", "rejects.csv", "sha256.json"

SLICES = pa.DataFrameSchema(
    {
        "slice_id": pa.Column(str, unique=True),
        "source": pa.Column(str),
        "patient": pa.Column(str),
        "volume": pa.Column(str),
        "z": pa.Column(int, pa.Check.ge(0)),
        "shard": pa.Column(str),
        "row": pa.Column(int, pa.Check.ge(0)),
        "height": pa.Column(int),
        "width": pa.Column(int),
        "spacing_z": pa.Column(float, pa.Check.gt(0)),
        "spacing_y": pa.Column(float, pa.Check.gt(0)),
        "spacing_x": pa.Column(float, pa.Check.gt(0)),
        "modality": pa.Column(str),
        "orientation": pa.Column(str),
        "intensity": pa.Column(str),
        "mended": pa.Column(str),
        "labelled": pa.Column(object),
        "present": pa.Column(object),
        "specks": pa.Column(int),
        "specks_only": pa.Column(object),
    },
    strict=True,
)
"""`labelled`: organ ids that the source labels (any other organ is unknown, not absent). `present`: those in this
slice. `specks`: connected components that were dropped as too small. `specks_only`: organs of which nothing else was
there, so that the slice neither shows nor lacks them. `orientation`: where the file's axes pointed. `intensity`: what
was done to the intensities. `mended`: what was wrong with the volume's files and put right, or ""."""


def shard_of(patient: str, shards: int) -> int:
    """The shard that a patient's slices lie in, the same on every machine."""
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) % shards


class ShardWriter:
    """Appends slices to the shards of one number; nothing has its final name before `close`."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory, self.number = directory, number
        self._arrays: dict[str, tuple[blosc2.NDArray, blosc2.NDArray]] = {}
        # A name of its own: on a cluster the task of a killed ingest goes on beside the one that takes its place.
        self._ending = f".{uuid4().hex}.partial"

    def append(self, image: np.ndarray, label: np.ndarray) -> tuple[str, int]:
        """Write `[N, H, W]` slices; returns the shard's name and the first slice's row.

        Raises:
            InputError: They can't be written.
        """
        n, height, width = image.shape
        name = f"{self.number:03d}-{height}x{width}"
        if name not in self._arrays:
            self._arrays[name] = (self._create(name, "image", image), self._create(name, "label", label))
        arrays = self._arrays[name]
        first = arrays[0].shape[0]
        for array, content in zip(arrays, (image, label), strict=True):
            try:
                array.resize((first + n, height, width))
                array[first:] = content
            except RuntimeError as error:  # Blosc says no more than that
                found, fix = f"slices can't be written: {error}", "free some disk space, then run again"
                raise InputError(self.directory / name, found, fix) from None
        return name, first

    def _create(self, name: str, kind: str, like: np.ndarray) -> blosc2.NDArray:
        shape = (1, *like.shape[1:])
        path = self.directory / f"{name}.{kind}.b2nd{self._ending}"
        # The shuffle groups a number's bytes. Of one-byte ids it makes nothing better, and reading 10 times slower.
        shuffle = blosc2.Filter.SHUFFLE if like.dtype.itemsize > 1 else blosc2.Filter.NOFILTER
        return blosc2.empty(
            (0, *like.shape[1:]),
            dtype=like.dtype,
            chunks=shape,
            # Blocks and threads are said outright, and the threads of reading too, which the file's header holds: the
            # defaults depend on the CPU's caches and cores, and so would the bytes.
            blocks=shape,
            urlpath=str(path),
            cparams={"codec": blosc2.Codec.LZ4HC, "clevel": 5, "filters": [shuffle], "nthreads": 1},
            dparams={"nthreads": 1},
        )

    def close(self) -> dict[str, str]:
        """Give every file its final name; name -> sha256."""
        self._arrays.clear()
        found = {}
        for path in sorted(self.directory.glob(f"{self.number:03d}-*{self._ending}")):
            final = path.with_name(path.name.removesuffix(self._ending))
            found[final.name] = file_sha256(path)
            path.replace(final)
        return found


@dataclass(frozen=True)
class SliceStore:
    """A written store, read slice by slice; picklable, so that loader processes can share it."""

    directory: Path

    @property
    def table(self) -> pd.DataFrame:
        """The slice table.

        Raises:
            InputError: There is no store here.
        """
        path = self.directory / TABLE
        if not path.is_file():
            raise InputError(path, "expected a slice table, found none", "run `dvc repro` (stage ingest)")
        return pd.read_parquet(path)

    def read(self, shard: str, row: int) -> tuple[np.ndarray, np.ndarray]:
        """One slice: image int16 HU and label uint8 organ ids, both `[H, W]` in the display frame.

        Raises:
            InputError: The shard isn't there.
        """
        return self.image(shard, row), self.label(shard, row)

    def image(self, shard: str, row: int) -> np.ndarray:
        """One slice's HU, int16 `[H, W]`; `InputError` as `read`."""
        return _slice(f"{self.directory}/{shard}.image.b2nd", row)

    def label(self, shard: str, row: int) -> np.ndarray:
        """One slice's organ ids, uint8 `[H, W]`; `InputError` as `read`."""
        return _slice(f"{self.directory}/{shard}.label.b2nd", row)


def _slice(path: str, row: int) -> np.ndarray:
    try:
        about = Path(path).stat()
    except FileNotFoundError:
        found = "expected a shard of slices, found none"
        raise InputError(path, found, "run `dvc repro` (stage ingest) for the cohort that params.yaml names") from None
    array, shape, dtype = _opened(path, about.st_ino, about.st_mtime_ns)
    out = np.empty(shape, dtype)
    # A slice is a chunk: indexing the array would look for others, and take longer.
    array.schunk.decompress_chunk(int(row), dst=out)
    return out


@lru_cache(maxsize=1024)
def _opened(path: str, inode: int, changed_ns: int) -> tuple[blosc2.NDArray, tuple[int, int], np.dtype]:
    """A shard's array, and its slices' shape and dtype: asking the array for them each time takes longer. A shard that
    a later ingest put in its place is another file: a cluster's workers outlive a stage."""
    # One thread, said outright: by default every open file has a pool of as many threads as the CPU has cores.
    array = blosc2.open(path, mode="r", mmap_mode="r", dparams={"nthreads": 1})
    return array, array.shape[1:], array.dtype
