"""Ships the folder recipes/ inside the package, which pyproject.toml cannot say by itself."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """An installed package finds its recipes beside its modules, a checkout in recipes/."""

    def run(self) -> None:
        """Build as usual, then copy the recipes."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "nanohydra", "recipes")
            self.mkpath(str(target))
            for path in Path("recipes").glob("*.toml"):
                self.copy_file(str(path), str(target / path.name))


setup(cmdclass={"build_py": BuildWithRecipes})
