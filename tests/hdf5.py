"""HDF5 files as tests look into them."""

import h5py


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset of that name."""
    found = file[name]
    assert isinstance(found, h5py.Dataset)
    return found
