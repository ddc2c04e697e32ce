"""Lessons to live adapters: curate, study, train, gate, publish, route, consolidate, unlearn."""

__all__: list[str] = []
