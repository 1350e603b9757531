"""
The commands, one module for each.

Without garbage collection, which finds nothing but takes an eighth of the time of a
command: what lives on for long, an emulated machine, asks for it again.
"""

import gc

gc.disable()
