"""The parts of the sampler: states of sequences, penalties, grammars, drawing."""

from nanohydra.engine.sampling.constraint import Constraint, GrammarCompiler
from nanohydra.engine.sampling.state import SampleState

__all__ = ["Constraint", "GrammarCompiler", "SampleState"]
