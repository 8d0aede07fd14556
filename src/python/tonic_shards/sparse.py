"""Sparse samples and batches: arrays of occupied cells, and the same as matrices of SciPy and PyTorch."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class SparseSample(NamedTuple):
    """The occupied cells of a sample, in order: five arrays of shape (N,). The indices are int64."""

    frame: NDArray[np.int64]
    p: NDArray[np.int64]
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    count: NDArray[Any]  # type: ignore[assignment]  # hides a method of tuple


class SparseBatch(NamedTuple):
    """A batch as a matrix in compressed rows (CSR), of shape (B * T, P * H * W).

    Row b * T + t is frame t of sample b, and column (p * H + y) * W + x is cell (p, y, x). The entries of row r are
    those from indptr[r] to indptr[r + 1] (excluded).
    """

    indptr: NDArray[np.int64]
    """Where the entries of each row begin, (B * T + 1,), int64."""
    indices: NDArray[np.int64]
    """Column of each entry, (N,), int64."""
    values: NDArray[Any]
    """Count of each entry, (N,), in the dtype of the loader."""
    shape: tuple[int, int, int, int, int]
    """Shape of the dense batch: (B, T, P, H, W)."""

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Shape of the matrix: (B * T, P * H * W)."""
        b, t, p, h, w = self.shape
        return b * t, p * h * w

    def coordinates(self) -> NDArray[np.int64]:
        """The coordinates of all entries (COO): an int64 array of shape (5, N), with the rows b, t, p, y and x."""
        rows = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        _, t, p, h, w = self.shape
        return np.stack([*np.divmod(rows, t), *np.unravel_index(self.indices, (p, h, w))])

    def dense(self) -> NDArray[Any]:
        """The dense batch, a new array of shape (B, T, P, H, W)."""
        out = np.zeros(self.shape, self.values.dtype)
        out[tuple(self.coordinates())] = self.values
        return out

    def to_scipy(self) -> Any:
        """A scipy.sparse.csr_matrix of shape (B * T, P * H * W)."""
        import scipy.sparse

        return scipy.sparse.csr_matrix((self.values, self.indices, self.indptr), shape=self.matrix_shape)

    def to_torch(self, layout: Literal["csr", "coo"] = "csr") -> Any:
        """A sparse tensor of torch: "csr", a matrix (B * T, P * H * W), or "coo", of shape (B, T, P, H, W).

        Raises:
            ValueError: for another layout.
        """
        import torch

        values = torch.from_numpy(self.values)
        if layout == "csr":
            indptr, indices = torch.from_numpy(self.indptr), torch.from_numpy(self.indices)
            return torch.sparse_csr_tensor(indptr, indices, values, self.matrix_shape, check_invariants=False)
        if layout == "coo":
            coordinates = torch.from_numpy(self.coordinates())
            return torch.sparse_coo_tensor(coordinates, values, self.shape, is_coalesced=True, check_invariants=False)
        raise ValueError(f"layout: expected csr or coo, got {layout}")
