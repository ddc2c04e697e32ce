"""Maps the top folder recipes/ into the package, which pyproject.toml cannot say by itself."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["nanohydra", "nanohydra.*"]), "nanohydra.recipes"],
    package_dir={"nanohydra.recipes": "recipes"},
)
