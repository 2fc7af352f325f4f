"""Compiles modules of the application where there is a C compiler; without one they run as the Python they are."""

from Cython.Build import cythonize
from setuptools import Extension, setup

COMPILED = ["forest", "surface", "features", "cautions", "estimate"]

# No -march: the build runs on any processor of its kind. No fused multiply-add, which compilers for arm64 use
# unasked: it would round otherwise than the plain build does.
FLAGS = ["-O3", "-g0", "-ffp-contract=off"]

modules = cythonize(  # type: ignore[no-untyped-call] # Cython's own build has no annotations
    [Extension(f"app.{module}", [f"app/{module}.py"], extra_compile_args=FLAGS) for module in COMPILED],
    build_dir="build",
    quiet=True,
    compiler_directives={
        "language_level": "3",
        "annotation_typing": False,  # annotations are mypy's; what C needs is in the .pxd beside a module
    },
)
for module in modules:
    module.optional = True  # cythonize drops it where the extension is made

setup(ext_modules=modules)
