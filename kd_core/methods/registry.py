"""All methods: every Method that a module of this room holds, so that a new method is one new file and no more."""

from kd_core.discovery import named_in
from kd_core.methods.method import Method

METHODS = named_in("kd_core.methods", Method)
