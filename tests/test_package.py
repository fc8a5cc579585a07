import subprocess
import sys

import nmcheck


def test_every_public_name_can_be_had() -> None:
    for name in nmcheck.__all__:
        assert getattr(nmcheck, name) is not None
    assert set(nmcheck.__all__) <= set(dir(nmcheck))


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "torch sklearn onnxruntime onnx numpy scipy h5py rich typer"
    script = f"import sys, nmcheck; print([name for name in '{heavy}'.split() if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
