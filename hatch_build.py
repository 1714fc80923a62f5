"""Builds the Cython kernel into the wheel; where no compiler works, the install goes on and the reference renderer serves."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):
    """Compiles ``kernel/*.pyx`` in place, so that wheels and editable installs find them beside their twins."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch passes it
        """Compile, and tell hatch what came out of it."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        for stale in (root / "generator/dovestorm/kernel").glob("_*.so"):
            stale.unlink()
        try:
            _compile(root)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a compiler or its wrapper raises
            self.app.display_warning(f"the kernel was not compiled, the slow reference renderer will serve ({error})")
            return
        build_data["artifacts"] += ["generator/dovestorm/kernel/_*.so"]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def _compile(root: Path) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    extensions = [
        Extension(f"dovestorm.kernel.{name}", [f"generator/dovestorm/kernel/{name}.pyx"], extra_compile_args=["-O3", "-g0"])
        for name in ("_fingerprint", "_interpreter", "_render")
    ]
    with TemporaryDirectory() as scratch, chdir(root):
        modules = cythonize(extensions, force=True, quiet=True, build_dir=scratch)
        command = Distribution({"ext_modules": modules, "package_dir": {"": "generator"}}).get_command_obj("build_ext")
        command.inplace = True
        command.build_lib = command.build_temp = scratch
        command.ensure_finalized()
        command.run()
